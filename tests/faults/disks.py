"""Faults of the disk that the data directory is on. Only root can mount one."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager

from tests.faults.databases import kill
from tests.faults.fault import Proof
from tests.faults.rig import DISK_BYTES, Rig


@contextlib.contextmanager
def fill(rig: Rig) -> Iterator[Proof]:
    """Leave no byte, until rows are lost."""
    filler = rig.folder / "disk" / "filler"
    # Without a buffer, which would be written once more when the file is closed.
    with _database_away(rig), filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            for _ in range(DISK_BYTES // 4096):
                file.write(b"\0" * 4096)
        try:
            yield lambda: rig.dropped()[0] > 0
        finally:
            filler.unlink()


@contextlib.contextmanager
def make_read_only(rig: Rig) -> Iterator[Proof]:
    """Nothing can be opened for writing any more; a file that is open stays writable."""
    disk = str(rig.folder / "disk")
    with _database_away(rig):
        subprocess.run(["mount", "--bind", disk, disk], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
            yield lambda: _is_read_only(rig)
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def _is_read_only(rig: Rig) -> bool:
    try:
        (rig.data / "probe").touch()
    except OSError as error:
        is_so = error.errno == errno.EROFS
        return is_so and (rig.database is None or rig.says("Read-only file system"))
    return False


def _database_away(rig: Rig) -> AbstractContextManager[object]:
    # With the database away everything has to go through the disk.
    return kill(rig) if rig.database is not None else contextlib.nullcontext()
