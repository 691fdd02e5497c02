"""Where a file of rows is, by path or URL, and which format its name says."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from bentos.errors import TabserveError

Kind = Literal["csv", "ndjson", "parquet"]

_KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".jsonl": "ndjson",
    ".ndjson": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class BadFile(TabserveError):
    """A file cannot be read, or not be written; the message names it and no value."""


class File(msgspec.Struct, frozen=True):
    """One file: `system`: of fsspec; `path`: in it; `name`: as it was given."""

    system: Any
    path: str
    name: str
    kind: Kind

    @property
    def address(self) -> str:
        """The path or URL by which another process finds it, wherever that one works."""
        kinds = self.system.protocol
        is_local = "file" in ((kinds,) if isinstance(kinds, str) else kinds)
        return self.path if is_local else self.name

    def beside(self, ending: str) -> str:
        """The path of something that belongs to it."""
        return f"{self.path}{ending}"

    def replace(self, path: str, data: bytes) -> None:
        """Write a file beside it so that it is there whole or not at all."""
        # A name of its own: a cluster may do a part twice at the same time.
        part = f"{path}.{uuid.uuid4().hex}.part"
        with self.system.open(part, "wb") as file:
            file.write(data)
        self.system.mv(part, path)


def find(name: str) -> File:
    """Find a file by its path or URL (fsspec). Raises BadFile."""
    import fsspec  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - other commands do not wait for it

    kind = _KINDS.get(PurePosixPath(name).suffix.lower())
    if kind is None:
        raise BadFile(f"{name}: a file of rows is named {', '.join(_KINDS)}, and not packed")
    try:
        system, path = fsspec.core.url_to_fs(name)
    except (ImportError, ValueError):
        raise BadFile(f"{name}: its kind of URL needs a package that is not installed") from None
    return File(system, path, name, kind)
