"""Rows on disk on their way to the store: what a crash leaves is delivered by the next start.

    ROOT/<worker>/lock            held by a living worker (flock: it ends with the process)
    ROOT/<worker>/served.json     which model version and environment the rows are of
    ROOT/<worker>/<number>.jsonl  one segment: records as JSON lines

A segment appears whole under its name, and goes when the store has its rows. Nothing is
synced to the disk: the rows outlive the process, not the machine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from bentos.ids import check_id, new_id
from bentos.logs import LOGGER
from bentos.records.record import (
    Environment,
    Record,
    Registration,
    decode_lines,
    encode,
    encode_lines,
)

# Where the spools of all workers are, below the data directory.
FOLDER = "spool"

_SERVED = "served.json"
_LOCK = "lock"


class RecordSource(msgspec.Struct, frozen=True):
    """What the rows of one folder are of."""

    registration: Registration
    environment: Environment


class SpoolFull(Exception):
    """The spool has as many bytes as it may."""


class Segment:
    """Rows that are not in the store yet.

    `records`: None where they are only on disk. `path`: None where they are only in
    memory. `is_retry`: the store may have them already.
    """

    __slots__ = ("first_id", "is_retry", "path", "records", "rows", "served", "size")

    def __init__(
        self,
        records: Sequence[Record] | None,
        *,
        rows: int,
        first_id: str,
        served: RecordSource,
        path: Path | None = None,
        size: int = 0,
        is_retry: bool = False,
    ) -> None:
        self.records = records
        self.rows = rows
        self.first_id = first_id
        self.served = served
        self.path = path
        self.size = size
        self.is_retry = is_retry


class Spool:
    """One worker's folder of segments. `write` and `remove` may run in different threads."""

    def __init__(self, root: Path, max_bytes: int, served: RecordSource) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._served = served
        self._folder: Path | None = None
        self._locks: dict[Path, int] = {}
        # Segments that are left in each folder taken over: after an outage there may be more
        # files than can be listed again for each of them.
        self._left: dict[Path, int] = {}
        self._guard = threading.Lock()
        self._size = 0
        self._number = 0

    @property
    def size(self) -> int:
        """Bytes of all segments on disk, those taken over included."""
        return self._size

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
            paths = sorted(folder.glob("*.jsonl"))
            if not paths:
                self._leave(folder)
                continue
            try:
                served = msgspec.json.decode(read_regular(folder / _SERVED), type=RecordSource)
            except (OSError, ValueError) as error:
                log_unreadable(folder, error)
                os.close(self._locks.pop(folder))
                continue
            self._left[folder] = len(paths)
            for path in paths:
                try:
                    segment = _orphan(path, served)
                except (OSError, ValueError) as error:
                    log_unreadable(path, error)
                    continue
                self._grow(segment.size)
                segments.append(segment)
        return segments

    def write(self, records: Sequence[Record]) -> tuple[Path, int]:
        """Put records on disk. Raises SpoolFull or OSError, and then has left nothing."""
        data = encode_lines(records)
        if self._size + len(data) > self._max_bytes:
            raise SpoolFull
        folder = self._folder or self._open()
        self._number += 1
        path = folder / f"{self._number:012d}.jsonl"
        part = path.with_suffix(".part")
        try:
            with open(part, "wb", opener=_private) as file:
                file.write(data)
            part.rename(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            if not folder.is_dir():
                # Someone emptied the spool: the next rows get another folder.
                self._folder = None
            raise
        self._grow(len(data))
        return path, len(data)

    def read(self, path: Path) -> list[Record]:
        """Read a segment back. Raises OSError, or ValueError for what is no segment."""
        return decode_lines(read_regular(path))

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
            if any(folder.glob("*.jsonl")):
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
            with open(folder / _SERVED, "wb", opener=_private) as file:
                file.write(encode(self._served))
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


class NotRegular(OSError):
    """A pipe, a device, a folder or a link stands where a file of the log is expected."""


def read_regular(path: Path) -> bytes:
    """Read a file, and nothing that could block or never end. Raises OSError."""
    with os.fdopen(_open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read()


def _open_regular(path: Path, flags: int) -> int:
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


def _private(path: str, flags: int) -> int:
    # Never into what somebody else put under the name: opening a pipe would wait for a reader.
    return os.open(path, flags | os.O_EXCL, 0o600)


def _orphan(path: Path, served: RecordSource) -> Segment:
    data = read_regular(path)
    lines = [line for line in data.splitlines() if line.strip()]
    first = msgspec.json.decode(lines[0], type=Record).id if lines else ""
    if first:
        check_id(first)
    return Segment(
        None,
        rows=len(lines),
        first_id=first,
        served=served,
        path=path,
        size=len(data),
        is_retry=True,
    )


def find(root: Path, tokens: Sequence[str]) -> int:
    """Count the records of a subject that wait in any worker's spool."""
    return sum(len(lines) for _, lines in _of_subject(root, tokens))


def blank(root: Path, tokens: Sequence[str]) -> int:
    """Overwrite the records of a subject in every worker's spool; gives how many.

    In place and of the same length, so a living worker's folder stays as it knows it. What
    that worker still has in memory is barred by the store's own erasure mark.
    """
    count = 0
    for path, lines in _of_subject(root, tokens):
        try:
            file = os.fdopen(_open_regular(path, os.O_RDWR), "r+b")
        except (FileNotFoundError, NotRegular):
            # Delivered in the meantime.
            continue
        with file:
            for start, end in lines:
                file.seek(start)
                file.write(b" " * (end - start))
            file.flush()
            os.fsync(file.fileno())
        count += len(lines)
    return count


def _of_subject(root: Path, tokens: Sequence[str]) -> Iterator[tuple[Path, list[tuple[int, int]]]]:
    marks = [f'"subject":"{token}"'.encode() for token in tokens]
    for path in sorted(root.glob("*/*.jsonl")):
        try:
            data = read_regular(path)
        except FileNotFoundError:
            # Delivered in the meantime.
            continue
        except NotRegular:
            # The log wrote no such file, and a pipe or a device has no rows.
            continue
        lines: list[tuple[int, int]] = []
        start = 0
        for line in data.splitlines(keepends=True):
            end = start + len(line.rstrip(b"\n"))
            # The mark is quick to look for; the record itself decides.
            if any(mark in line for mark in marks) and _subject(line) in tokens:
                lines.append((start, end))
            start += len(line)
        if lines:
            yield path, lines


def _subject(line: bytes) -> str | None:
    return msgspec.json.decode(line, type=Record).subject
