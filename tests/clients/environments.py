"""One environment a client: they need versions of the same packages that do not fit together.

Made by uv from a lock file with hashes, and made again when that changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".venv"
_STAMP = "tabserve-lock.sha256"
# Generous: the first time some hundred packages are fetched.
_TIMEOUT_SECONDS = 900


def python_of(name: str) -> Path:
    """The interpreter of a client's environment, made where it is not there."""
    lock = HERE / "requirements" / f"{name}.txt"
    target = ENVIRONMENTS / name
    python = target / "bin" / "python"
    stamp = target / _STAMP
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return python
    uv = shutil.which("uv")
    if uv is None:
        if os.environ.get("CI") == "true":
            pytest.fail("uv is not on the PATH")
        pytest.skip("uv is not on the PATH: run make test-clients")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", "3.11", str(target)],
        [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock)],
    ):
        subprocess.run(command, check=True, timeout=_TIMEOUT_SECONDS)
    stamp.write_text(digest)
    return python
