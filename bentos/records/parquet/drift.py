"""Drift results in the folder of the Parquet log: a JSON file for each, in `drift/`.

They are read one by one, never scanned: a folder for each job and version, and names of the end of
the window and the time of the run, so that their order is that of the windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from itertools import islice

import msgspec

from bentos.errors import StoreDown, StoreReadOnly
from bentos.ids import from_milliseconds, milliseconds
from bentos.records.drift import CONCLUSIVE, DriftResult
from bentos.records.parquet.files import Files
from bentos.records.record import encode

FOLDER = "drift"

# Written and removed again: whether a folder or a bucket can be written shows by trying.
_PROBE = f"{FOLDER}/writable"


class ParquetDriftLog:
    """Drift results in a folder, or anywhere fsspec reaches."""

    def __init__(self, location: str) -> None:
        self._files = Files(location)

    def prepare(self) -> None:
        """Raises StoreDown where there is no log, StoreReadOnly where it cannot be written."""
        self._files.check_there()
        try:
            self._files.make_folder(FOLDER)
            self._files.write(_PROBE, b"")
            self._files.remove(_PROBE)
        except StoreDown as error:
            raise StoreReadOnly(f"no drift result can be written: {error}") from None

    def check(self) -> None:
        """Raises StoreDown where there is no log."""
        self._files.check_there()

    def write(self, result: DriftResult) -> None:
        """Store one result; one that is stored already stays as it is."""
        folder = _folder(result.job, result.model, result.version)
        digest = sha256(result.run.encode()).hexdigest()[:16]
        self._files.make_folder(folder)
        if any(name.endswith(f"-{digest}.json") for name in self._files.names(folder)):
            return
        rounded = msgspec.structs.replace(result, time=from_milliseconds(milliseconds(result.time)))
        end, time = milliseconds(result.until), milliseconds(result.time)
        self._files.write(f"{folder}/{end:013d}-{time:013d}-{digest}.json", encode(rounded))

    def last(
        self, job: str, model: str, version: str, count: int, until: datetime | None = None
    ) -> list[DriftResult]:
        """A job's last results of a version, with their features."""
        return list(islice(self._results(job, model, version, until), count))

    def conclusive(
        self, job: str, model: str, version: str, until: datetime | None = None
    ) -> Iterator[DriftResult]:
        """A job's results of a version that found drift or none, without features."""
        for result in self._results(job, model, version, until):
            if result.outcome in CONCLUSIVE:
                yield msgspec.structs.replace(result, features=())

    def close(self) -> None:
        """Nothing is held between calls."""

    def _results(
        self, job: str, model: str, version: str, until: datetime | None
    ) -> Iterator[DriftResult]:
        folder = _folder(job, model, version)
        for name in sorted(self._files.names(folder), key=_read_order, reverse=True):
            if until is not None and _read_order(name)[0] > milliseconds(until):
                continue
            content = self._files.read(f"{folder}/{name}") if name.endswith(".json") else None
            if content is None:
                continue
            try:
                yield msgspec.json.decode(content, type=DriftResult)
            except msgspec.MsgspecError:
                # Not the message: it may quote a value.
                raise StoreDown("a drift result of the log is damaged") from None


def _read_order(name: str) -> tuple[int, int, str]:
    """End of the window, time of the run: what a file is ordered by.

    Files of before have the time of the run alone, which was soon after the window's end.
    """
    numbers = [int(part) for part in name.split("-")[:-1] if part.isdecimal()]
    if not numbers:
        return 0, 0, name
    return numbers[0], numbers[-1], name


def _folder(job: str, model: str, version: str) -> str:
    # A digest, as a model's name may be longer than a file's, or hold slashes.
    return f"{FOLDER}/{sha256(encode([job, model, version])).hexdigest()}"
