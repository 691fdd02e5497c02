"""The rows of one subject in the spools of all workers: counted, or written over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bentos.records.writer.spool import segment
from bentos.records.writer.spool.files import NotRegular, open_regular, read_regular


def find(root: Path, tokens: Sequence[str]) -> int:
    """Count the rows of a subject that wait in any worker's spool."""
    return sum(rows for _, pieces in _of_subject(root, tokens) for _, _, rows in pieces)


def blank(root: Path, tokens: Sequence[str]) -> int:
    """Overwrite the rows of a subject in every worker's spool; gives how many.

    In place and of the same length, so a living worker's folder stays as it knows it. What
    that worker still has in memory is barred by the store's own erasure mark.
    """
    count = 0
    for path, pieces in _of_subject(root, tokens):
        try:
            file = os.fdopen(open_regular(path, os.O_RDWR), "r+b")
        except (FileNotFoundError, NotRegular):
            # Delivered in the meantime.
            continue
        with file:
            for start, data, rows in pieces:
                file.seek(start)
                file.write(data)
                count += rows
            file.flush()
            os.fsync(file.fileno())
    return count


def _of_subject(
    root: Path, tokens: Sequence[str]
) -> Iterator[tuple[Path, list[tuple[int, bytes, int]]]]:
    for path in sorted(path for ending in segment.ENDINGS for path in root.glob(f"*/*{ending}")):
        try:
            data = read_regular(path)
        except FileNotFoundError:
            # Delivered in the meantime.
            continue
        except NotRegular:
            # The log wrote no such file, and a pipe or a device has no rows.
            continue
        if pieces := list(segment.erase(path.suffix, data, tokens)):
            yield path, pieces
