"""Drift results beside the Parquet log: a JSON file for each, in `drift/`.

They are read one by one, never scanned: a folder by job and version, names in the order of time.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from bentos.errors import StoreDown
from bentos.records.drift import DriftResult
from bentos.records.parquet_files import Files
from bentos.records.record import encode, from_milliseconds, milliseconds

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
        folder = _folder(job, model, version)
        names = [name for name in self._files.names(folder) if name.endswith(".json")]
        contents = [self._files.read(f"{folder}/{name}") for name in sorted(names)[::-1][:count]]
        try:
            return [
                msgspec.json.decode(content, type=DriftResult)
                for content in contents
                if content is not None
            ]
        except msgspec.MsgspecError:
            # Not the message: it may quote a value.
            raise StoreDown("a drift result of the log is damaged") from None

    def close(self) -> None:
        """Nothing is held between calls."""


def _folder(job: str, model: str, version: str) -> str:
    # A digest, as a model's name may be longer than a file's, or hold slashes.
    return f"{FOLDER}/{sha256(encode([job, model, version])).hexdigest()}"
