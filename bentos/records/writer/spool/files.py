"""Files of the spool: regular ones, the owner's alone; and bytes into a descriptor."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """A pipe, a device, a folder or a link stands where a file of the log is expected."""


def read_regular(path: Path) -> bytes:
    """Read a file, and nothing that could block or never end. Raises OSError."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read()


def open_regular(path: Path, flags: int) -> int:
    """Open a file that is there. Raises OSError, NotRegular for what is no file."""
    # Without O_NONBLOCK the open itself waits for a pipe's other end.
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotRegular(error.errno, error.strerror) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(errno.EINVAL, "not a regular file")
    return descriptor


def make_private(path: str, flags: int) -> int:
    """Make a file for its owner alone (an `opener`)."""
    # Never into what somebody else put under the name: opening a pipe would wait for a reader.
    return os.open(path, flags | os.O_EXCL, 0o600)


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of it, however many calls that takes. Raises OSError."""
    # A view that stays would keep a bytearray from growing.
    with memoryview(data) as view:
        start = 0
        while start < len(view):
            start += os.write(descriptor, view[start:])
