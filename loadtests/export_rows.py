"""Write real rows with the model's own scores as JSON lines: `{"row": {...}, "score": 0.1}`.

`python -m loadtests.export_rows NAME:VERSION ROWS.jsonl`: the rows are the reference
sample that travels with a model (a Parquet file of training rows and scores), so load
has the distribution of the data. Needs pyarrow; nothing else here does.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from loadtests.machine import store

SAMPLE = Path("extra_files") / "reference.parquet"
_SCORE = "__score__"


def row_of(record: dict[str, Any]) -> dict[str, Any]:
    """Make one line of a record: its features as JSON values, and the score to expect.

    Of several score columns the last is taken: the second class of a binary model.
    """
    scores = [value for name, value in record.items() if name.startswith(_SCORE)]
    row = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in record.items()
        if not name.startswith(_SCORE)
    }
    return {"row": row, "score": scores[-1]}


def main() -> None:
    """Read the sample, write the lines."""
    from pyarrow import parquet  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - only this way needs it

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="tag in the Bento store, of a model with its evidence")
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, default=5000, help="at most so many")
    arguments = parser.parse_args()
    records = (
        parquet.read_table(store.find(arguments.model) / SAMPLE)
        .slice(0, arguments.rows)
        .to_pylist()
    )
    arguments.target.parent.mkdir(parents=True, exist_ok=True)
    with arguments.target.open("w") as file:
        file.writelines(json.dumps(row_of(record)) + "\n" for record in records)


if __name__ == "__main__":
    main()
