"""Digests of a model's files, so that only the imported files are served."""

from __future__ import annotations

import grp
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bentos.errors import IntegrityError


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 in hex of every file below `folder`, by its relative POSIX path, sorted.

    Raises IntegrityError for a link, a pipe or a device: its contents are another's.
    """
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise IntegrityError(f"{name} is no plain file: import the model again")
        with path.open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


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


def read_file(folder: Path, name: str, recorded: Mapping[str, str]) -> bytes:
    """Read one file whole; what is returned is what was checked.

    Raises IntegrityError where it was not recorded, cannot be read, or is not as recorded.
    """
    if name not in recorded:
        raise IntegrityError(f"the model has no {name}: import it again")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise IntegrityError(f"{name} cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != recorded[name]:
        raise IntegrityError(f"{name} was changed after the model was imported")
    return data


def find_writers(folder: Path) -> str:
    """Say which other users of this machine can change a folder's files; nothing for none.

    A group that is this process's own counts as itself: many systems give each user one.
    """
    group = None
    for path in (folder, *folder.rglob("*")):
        found = path.lstat()
        if found.st_mode & stat.S_IWOTH:
            return "every user of this machine"
        if found.st_mode & stat.S_IWGRP and found.st_gid != os.getegid():
            group = found.st_gid
    return "" if group is None else f"the group {_group_name(group)}"


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
