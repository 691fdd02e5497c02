"""Build the packaged Parquet file from the CSV that UCI publishes.

    python -m bentos.training.prepare CSV OUT

Refuses any file but the published one, and checks the tables of the paper on top, so that a
mistake in the mapping cannot pass. Writes SHA256SUMS into the folder of OUT.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path

import click
import pandas as pd

from bentos.training import TrainingError
from bentos.training.description import Column, Description, describe_reference

# SHA-256 of the uncompressed CSV as published.
SOURCE_SHA256 = "f7b7d22d1f8dd27dadb25d4b78d8a4ae7c441ab6cc12d1ea58c0efc54d4d1788"
GZIP_MAGIC = b"\x1f\x8b"

# Counts of the published tables, by category; the undocumented codes added up.
PUBLISHED_ROWS = 30_000
PUBLISHED_DEFAULTS = 6_636
PUBLISHED_COUNTS = {
    "sex": {"male": 11_888, "female": 18_112},
    "education": {
        "university": 14_030,
        "graduate_school": 10_585,
        "high_school": 4_917,
        "other": 123,
        "other_or_unknown": 280 + 51 + 14,
    },
    "marriage": {"single": 15_964, "married": 13_659, "other": 323, "other_or_unknown": 54},
}
# Means in New Taiwan dollars and years, as published, with the digits that were published.
PUBLISHED_MEANS = {"limit_balance": (167_484.32, 2), "age": (35.4855, 4)}


def read_source(path: Path) -> pd.DataFrame:
    """Read the published CSV, plain or gzipped. Raises TrainingError for any other file."""
    content = path.read_bytes()
    if content.startswith(GZIP_MAGIC):
        content = gzip.decompress(content)
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        raise TrainingError(f"{path.name} is not the published file: its SHA-256 differs")
    return pd.read_csv(io.BytesIO(content))


def convert(source: pd.DataFrame, description: Description) -> pd.DataFrame:
    """Rename and decode: float64 numbers, string categories, the target as int64, no ID."""
    converted = {column.name: _decode(source, column) for column in description.features}
    converted[description.target.name] = source[description.target.source].astype("int64")
    return pd.DataFrame(converted)


def _decode(source: pd.DataFrame, column: Column) -> pd.Series:
    values = source[column.source]
    if column.codes is None:
        return values.astype("float64")
    decoded = values.map(column.codes)
    if column.undocumented is not None:
        decoded = decoded.fillna(column.undocumented)
    return decoded.astype(pd.CategoricalDtype(column.categories))


def check_published(frame: pd.DataFrame, target: str) -> None:
    """Compare a frame with the published tables. Raises TrainingError naming the column."""
    if len(frame) != PUBLISHED_ROWS:
        raise TrainingError(f"{len(frame)} rows, {PUBLISHED_ROWS} were published")
    if int(frame[target].sum()) != PUBLISHED_DEFAULTS:
        raise TrainingError(f"column {target!r} differs from the published count")
    for name, counts in PUBLISHED_COUNTS.items():
        if frame[name].value_counts().to_dict() != counts:
            raise TrainingError(f"column {name!r} differs from the published counts")
    for name, (mean, digits) in PUBLISHED_MEANS.items():
        if round(float(frame[name].mean()), digits) != mean:
            raise TrainingError(f"column {name!r} differs from the published mean")


def write(frame: pd.DataFrame, path: Path) -> str:
    """Write the Parquet file and SHA256SUMS in its folder; returns the checksum, hexadecimal."""
    frame.to_parquet(path, index=False, compression="zstd", compression_level=19)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "SHA256SUMS").write_text(f"{checksum}  {path.name}\n")
    return checksum


@click.command()
@click.argument("csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def main(csv: Path, out: Path) -> None:
    """Build OUT (Parquet) from the published CSV."""
    description = describe_reference()
    try:
        frame = convert(read_source(csv), description)
        check_published(frame, description.target.name)
    except TrainingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{write(frame, out)}  {out.name}")


if __name__ == "__main__":
    main()
