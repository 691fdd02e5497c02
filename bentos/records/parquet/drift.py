"""Drift results beside the Parquet log: a JSON file for each, in `drift/`.

They are read one by one, never scanned: a folder by job and version, names in the order of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice

import msgspec

from bentos.errors import StoreDown
from bentos.ids import from_milliseconds, milliseconds
from bentos.records.drift import CONCLUSIVE, DriftResult
from bentos.records.parquet.files import Files
from bentos.records.record import encode

FOLDER = "drift"


class ParquetDriftLog:
    """Drift results in a folder, or anywhere fsspec reaches."""

    def __init__(self, location: str) -> None:
        self._files = Files(location)

    def prepare(self) -> None:
        """Raises StoreDown where there is no log."""
        self._files.check_there()
        self._files.make_folder(FOLDER)

    def write(self, result: DriftResult) -> None:
        """Store one result; one that is stored already stays as it is."""
        folder = _folder(result.job, result.model, result.version)
        digest = sha256(result.run.encode()).hexdigest()[:16]
        self._files.make_folder(folder)
        if any(name.endswith(f"-{digest}.json") for name in self._files.names(folder)):
            return
        rounded = msgspec.structs.replace(result, time=from_milliseconds(milliseconds(result.time)))
        name = f"{milliseconds(result.time):013d}-{digest}.json"
        self._files.write(f"{folder}/{name}", encode(rounded))

    def last(self, job: str, model: str, version: str, count: int) -> list[DriftResult]:
        """A job's last results of a version, the latest first, with their features."""
        return list(islice(self._results(job, model, version), count))

    def conclusive(self, job: str, model: str, version: str) -> Iterator[DriftResult]:
        """A job's results that found drift or none, latest first, without features."""
        for result in self._results(job, model, version):
            if result.outcome in CONCLUSIVE:
                yield msgspec.structs.replace(result, features=())

    def close(self) -> None:
        """Nothing is held between calls."""

    def _results(self, job: str, model: str, version: str) -> Iterator[DriftResult]:
        folder = _folder(job, model, version)
        for name in sorted(self._files.names(folder), reverse=True):
            content = self._files.read(f"{folder}/{name}") if name.endswith(".json") else None
            if content is None:
                continue
            try:
                yield msgspec.json.decode(content, type=DriftResult)
            except msgspec.MsgspecError:
                # Not the message: it may quote a value.
                raise StoreDown("a drift result of the log is damaged") from None


def _folder(job: str, model: str, version: str) -> str:
    # A digest, as a model's name may be longer than a file's, or hold slashes.
    return f"{FOLDER}/{sha256(encode([job, model, version])).hexdigest()}"
