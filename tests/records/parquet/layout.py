"""The files of a local log, as the tests look for them."""

from __future__ import annotations

from pathlib import Path


def files_of(folder: Path, kind: str = "predictions") -> list[Path]:
    """The files of a kind in a local log."""
    return sorted((folder / kind).glob("*/*.parquet"))
