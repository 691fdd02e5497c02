"""Digests of a model's files, so that only the imported files are served."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from bentos.errors import IntegrityError


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 in hex of every file below `folder`, by its relative POSIX path, sorted."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest_of(files: Mapping[str, str]) -> str:
    """One SHA-256 over names and digests, in `sha256sum` form."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def check_files(folder: Path, recorded: Mapping[str, str]) -> None:
    """Raise IntegrityError, naming the first file, where the folder is not as recorded."""
    present = digest_files(folder)
    for name in sorted({*recorded, *present}):
        if name not in present:
            raise IntegrityError(f"{name} was removed after the model was imported")
        if name not in recorded:
            raise IntegrityError(f"{name} was added after the model was imported")
        if present[name] != recorded[name]:
            raise IntegrityError(f"{name} was changed after the model was imported")
