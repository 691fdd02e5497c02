"""One environment a peer, made by uv from its lock file and made again when that changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

from loadtests.peers.catalogue import ENVIRONMENTS, REQUIREMENTS

_STAMP = "tabserve-lock.sha256"
# Generous: the first time some hundred packages are fetched.
_TIMEOUT_SECONDS = 900


class CannotInstall(Exception):
    """An environment could not be made; the message is uv's."""


def ensure(name: str) -> None:
    """Make the environment `name` unless it is there and its lock file is the same."""
    lock = REQUIREMENTS / f"{name}.txt"
    target = ENVIRONMENTS / name
    stamp = target / _STAMP
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    uv = shutil.which("uv")
    if uv is None:
        raise CannotInstall("uv is not on the PATH")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", "3.11", str(target)],
        [uv, "pip", "sync", "--quiet", "--python", str(target / "bin" / "python"), str(lock)],
    ):
        done = subprocess.run(  # noqa: S603  # fixed parts only
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
        if done.returncode:
            raise CannotInstall(done.stderr.strip()[-1000:])
    stamp.write_text(digest)
