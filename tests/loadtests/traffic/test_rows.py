"""Rows drawn from a model's description."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bentos.model.contract import Contract, Feature, Profile
from bentos.model.json_rows import RowReader
from bentos.model.validation import Encoder
from loadtests.traffic import rows

CONTRACT = Contract(
    features=(
        Feature("amount", "float", "double", profile=Profile(0.5, 10.0, 20.0)),
        Feature("count", "integer", "long", profile=Profile(0.0, 0.0, 9.0)),
        Feature("is_member", "boolean", "boolean", profile=Profile(0.0)),
        Feature("colour", "category", "string", categories=("red", "blue"), profile=Profile(0.1)),
        Feature("unseen", "float", "double", optional=True),
    ),
    task="binary",
    engine="booster",
    classes=(0, 1),
    threshold=0.5,
)


def _described() -> dict[str, object]:
    features = [
        {**feature.interface, "profile": msgspec.to_builtins(feature.profile)}
        for feature in CONTRACT.features
    ]
    return {"features": features}


def test_rows_repeat() -> None:
    """The same seed draws the same rows; another draws others."""
    drawn = rows.draw(_described(), 50, seed=1)
    assert drawn == rows.draw(_described(), 50, seed=1)
    assert drawn != rows.draw(_described(), 50, seed=2)


def test_rows_are_accepted() -> None:
    """What is drawn from a contract's description passes that contract's own validation."""
    reader = RowReader(Encoder(CONTRACT))
    for sample in rows.draw(_described(), 200, seed=1):
        encoded, faults = reader.validate(sample.row)
        assert encoded is not None, faults


def test_values_are_missing_as_in_training() -> None:
    """A feature is missing about as often as its profile says, and never where it may not be."""
    drawn = rows.draw(_described(), 2000, seed=1)
    share = sum(sample.row["amount"] is None for sample in drawn) / len(drawn)
    # Five standard deviations of a share of a half in 2,000.
    assert abs(share - 0.5) < 0.056
    assert all(sample.row["count"] is not None for sample in drawn)


def test_rows_are_read_with_their_scores(tmp_path: Path) -> None:
    """A line is a row and, where it is known, the score to expect."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"row": {"a": 1}, "score": 0.25}) + '\n{"row": {"a": 2}}\n')
    assert rows.read(path) == [rows.Sample({"a": 1}, 0.25), rows.Sample({"a": 2})]


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    """An empty file would make an empty load look like a fast one."""
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(ValueError, match="has no rows"):
        rows.read(tmp_path / "rows.jsonl")
