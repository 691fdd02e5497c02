"""One environment a server, made by uv from its lock file and made again when that changes.

tabserve has one too: the project's lock without extras and groups, which is what an image
holds. The development environment would also carry MLflow and what comes with it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess

from loadtests.peers.catalogue import DEVELOPMENT, ENVIRONMENTS, OWN, REQUIREMENTS, ROOT

_STAMP = "tabserve-compiled-lock.sha256"
# Generous: the first time some hundred packages are fetched.
_TIMEOUT_SECONDS = 900


class CannotInstall(Exception):
    """An environment could not be made; the message is uv's."""


def ensure(name: str) -> None:
    """Make the environment `name` unless it is there and its lock file is the same."""
    if name == DEVELOPMENT:
        return
    lock = ROOT / "uv.lock" if name == OWN else REQUIREMENTS / f"{name}.txt"
    target = ENVIRONMENTS / name
    stamp = target / _STAMP
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    uv = shutil.which("uv")
    if uv is None:
        raise CannotInstall("uv is not on the PATH")
    python = str(target / "bin" / "python")
    # As an image has it: else each start would compile a thousand modules, and a compiler's
    # memory would count as the server's.
    quick = ("--quiet", "--compile-bytecode")
    install = (
        [uv, "sync", *quick, "--frozen", "--no-default-groups", "--no-install-project"]
        if name == OWN
        else [uv, "pip", "sync", *quick, "--python", python, str(lock)]
    )
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", "3.11", str(target)],
        install,
    ):
        done = subprocess.run(  # noqa: S603  # fixed parts only
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            cwd=ROOT,
            env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(target)},
        )
        if done.returncode:
            raise CannotInstall(done.stderr.strip()[-1000:])
    stamp.write_text(digest)
