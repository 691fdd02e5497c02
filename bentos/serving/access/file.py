"""Read a keys file that someone else may replace at any time, with anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bentos.serving.access import keys
from bentos.serving.access.keys import Key

# Two thousand keys take less than half of it.
_MOST_BYTES = 2**20


def read_bytes(path: Path) -> tuple[bytes, str]:
    """Read a file whole, and say what is wrong with who may read or write it, or nothing.

    Raises ValueError, one line without the file's content: no file, not a regular one, too
    large. Never waits: a pipe is not opened for reading.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be opened") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a regular file")
        if about.st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from None
    finally:
        os.close(descriptor)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    return data, _find_exposure(about)


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read the keys of a file. Raises ValueError, one line without the file's content."""
    data, _ = read_bytes(path)
    return keys.read(data)


def _find_exposure(about: os.stat_result) -> str:
    mode = about.st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others than its owner may write it: chmod go-w"
    if mode & stat.S_IROTH:
        return "everyone on this machine may read it: chmod o-r"
    # A mounted Secret is read through its group by a process that does not own it.
    if mode & stat.S_IRGRP and about.st_uid == os.geteuid():
        return "its group may read it: chmod g-r"
    return ""
