"""A keys file as the command line changes it: whole, under a lock, readable by its owner only."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bentos import settings
from bentos.errors import ConfigurationError
from bentos.serving.access import file, keys
from bentos.serving.access.keys import Key


def find(path: Path | None) -> Path:
    """The file to work on: the one that was named, or that of the settings."""
    if path is None:
        configured = settings.read().keys_file
        if not configured:
            raise ConfigurationError("name the keys file with --file, or set TABSERVE_KEYS_FILE")
        path = Path(configured)
    # What a link leads to is replaced, not the link.
    return path.resolve()


def read(path: Path | None) -> tuple[Key, ...]:
    """Read the keys. Raises ConfigurationError."""
    return _read(find(path))


@contextmanager
def changing(path: Path | None, *, is_new: bool = True) -> Iterator[list[Key]]:
    """Give the keys to change, and write the file where the block ends well.

    `is_new`: a file that is not there is made. One command at a time; a service that reads sees
    the file before or after. Raises ConfigurationError.
    """
    target = find(path)
    with _locked(target.parent):
        known = list(_read(target)) if target.exists() or not is_new else []
        yield known
        if len(known) > keys.MOST_KEYS:
            raise ConfigurationError(f"a keys file has at most {keys.MOST_KEYS} keys")
        _replace(target, keys.write(known))


def _read(path: Path) -> tuple[Key, ...]:
    try:
        return file.read_keys(path)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _replace(path: Path, data: bytes) -> None:
    # Made by mkstemp for its owner only; a file that was there keeps its mode and owner.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as temporary:
            temporary.write(data)
            temporary.flush()
            os.fsync(temporary.fileno())
            with suppress(FileNotFoundError):
                about = path.stat()
                os.fchmod(temporary.fileno(), about.st_mode & 0o777)
                with suppress(PermissionError):
                    os.fchown(temporary.fileno(), about.st_uid, about.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
