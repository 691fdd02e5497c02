"""Rows on disk on their way to the store: what a crash leaves is delivered by the next start.

    ROOT/<worker>/lock           held by a living worker (flock: it ends with the process)
    ROOT/<worker>/served.json    what made the rows
    ROOT/<worker>/<number>.rows  one segment (`segment.py`)

A segment appears whole under its name, and goes when the store has its rows. Nothing is
synced to the disk: the rows outlive the process, not the machine.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from bentos.ids import new_id
from bentos.logs import LOGGER
from bentos.records.record import encode
from bentos.records.writer.spool.files import make_private, read_regular, write_all
from bentos.records.writer.spool.segment import ENDINGS, PACKED, Segment, count
from bentos.records.writer.spool.source import RecordSource

# Where the spools of all workers are, below the data directory.
FOLDER = "spool"

_SERVED = "served.json"
_LOCK = "lock"


class SpoolFull(Exception):
    """The spool has as many bytes as it may."""


class Spool:
    """One worker's folder of segments. `write` and `remove` may run in different threads."""

    def __init__(self, root: Path, max_bytes: int, source: RecordSource) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._source = source
        self._folder: Path | None = None
        self._locks: dict[Path, int] = {}
        # Segments that are left in each folder taken over: after an outage there may be more
        # files than can be listed again for each of them.
        self._left: dict[Path, int] = {}
        self._guard = threading.Lock()
        self._size = 0
        self._number = 0
        # Bytes of segments that another process took over for this worker.
        self.elsewhere = 0

    @property
    def size(self) -> int:
        """Bytes of all segments on disk, those taken over included."""
        return self._size + self.elsewhere

    @property
    def is_half_full(self) -> bool:
        """Whether what comes without end should wait."""
        return 2 * self.size > self._max_bytes

    def adopt(self) -> list[Segment]:
        """Take over what dead workers left, oldest first.

        What cannot be read is left where it is, and logged. Raises OSError.
        """
        segments: list[Segment] = []
        if not self._root.is_dir():
            return segments
        for folder in sorted(path for path in self._root.iterdir() if path.is_dir()):
            # Without that file it is being made at this moment, and its lock may be free.
            if not (folder / _SERVED).exists() or not self._lock(folder):
                continue
            paths = _segments_in(folder)
            if not paths:
                self._leave(folder)
                continue
            try:
                source = msgspec.json.decode(read_regular(folder / _SERVED), type=RecordSource)
            except (OSError, ValueError) as error:
                log_unreadable(folder, error)
                os.close(self._locks.pop(folder))
                continue
            self._left[folder] = len(paths)
            for path in paths:
                try:
                    segment = _orphan(path, source)
                except (OSError, ValueError) as error:
                    log_unreadable(path, error)
                    continue
                self._grow(segment.size)
                segments.append(segment)
        return segments

    def write(self, data: bytes | bytearray, ending: str = PACKED) -> Path:
        """Put a segment on disk. Raises SpoolFull or OSError, and then has left nothing."""
        if self.size + len(data) > self._max_bytes:
            raise SpoolFull
        folder = self._folder or self._open()
        self._number += 1
        path = folder / f"{self._number:012d}{ending}"
        part = path.with_suffix(".part")
        try:
            with open(part, "wb", 0, opener=make_private) as file:
                write_all(file.fileno(), data)
            part.rename(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            if not folder.is_dir():
                # Someone emptied the spool: the next rows get another folder.
                self._folder = None
            raise
        self._grow(len(data))
        return path

    def remove(self, segment: Segment) -> None:
        """Forget a segment that the store has; its folder goes with the last one."""
        if segment.path is None:
            return
        with suppress(FileNotFoundError):
            segment.path.unlink()
        self._grow(-segment.size)
        folder = segment.path.parent
        if folder in self._left:
            self._left[folder] -= 1
            if not self._left[folder]:
                self._leave(folder)

    def close(self) -> None:
        """Release all folders; those with no segment left are removed."""
        for folder in list(self._locks):
            if _segments_in(folder):
                os.close(self._locks.pop(folder))
            else:
                self._leave(folder)
        self._folder = None

    def _grow(self, size: int) -> None:
        with self._guard:
            self._size += size

    def _open(self) -> Path:
        # The owner's alone: the rows have features and scores.
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._root / new_id()
        folder.mkdir(mode=0o700)
        try:
            self._lock(folder)
            with open(folder / _SERVED, "wb", opener=make_private) as file:
                file.write(encode(self._source))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._folder = folder
        return folder

    def _lock(self, folder: Path) -> bool:
        if folder in self._locks:
            return False
        try:
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            # Another worker took it over and is done with it.
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._locks[folder] = descriptor
        return True

    def _leave(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(KeyError):
            os.close(self._locks.pop(folder))


def log_unreadable(path: Path, error: Exception) -> None:
    """Log that a file cannot be read and stays where it is, as it may have rows."""
    place = f"{path.parent.name}/{path.name}"
    LOGGER.error(f"a part of the spool cannot be read, it stays: {place}: {type(error).__name__}")


def _segments_in(folder: Path) -> list[Path]:
    return sorted(path for ending in ENDINGS for path in folder.glob(f"*{ending}"))


def _orphan(path: Path, source: RecordSource) -> Segment:
    data = read_regular(path)
    rows, first = count(path.suffix, data)
    return Segment(
        None,
        rows=rows,
        first_id=first,
        source=source,
        path=path,
        size=len(data),
        ending=path.suffix,
        is_retry=True,
        is_adopted=True,
    )
