"""Segments of rows: each row is in exactly one."""

from __future__ import annotations

import pytest

from bentos.audit.quality.shift import Scores
from bentos.model.contract import Feature
from bentos.records.record import Value

TEXT = Feature("x", "text", "string")
NUMBER = Feature("x", "float", "double")


def rows_by_segment(feature: Feature, values: list[Value]) -> dict[str, int]:
    """How many rows each segment has."""
    scores = Scores(feature)
    for value in values:
        scores.add(0.5, 0.75, False, value)
    return {name: shift.rows for name, shift in scores.measure_segments().items()}


def test_many_texts() -> None:
    """The twenty largest segments have names, the others are one."""
    values: list[Value] = [str(number) for number in range(40) for _ in range(40 - number)]
    found = rows_by_segment(TEXT, [*values, None])
    assert list(found)[:2] == ["0", "1"]
    assert len(found) == 21
    assert sum(found.values()) == len(values) + 1
    assert found["(all others)"] == sum(range(1, 21)) + 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None, None], {"(missing)": 2}),
        ([1.0, 1.0, None], {"1 to 1": 2, "(missing)": 1}),
        ([0, 0, 0, 0, 0, 0, 0, 9], {"0 to 9": 8}),
        (
            [1, 2, 3, 4],
            {"1 to 1.75": 1, "above 1.75 to 2.5": 1, "above 2.5 to 3.25": 1, "above 3.25 to 4": 1},
        ),
    ],
)
def test_quartiles_that_coincide(values: list[Value], expected: dict[str, int]) -> None:
    """Quartiles with equal edges are one segment; no row is lost."""
    assert rows_by_segment(NUMBER, values) == expected


def test_no_rows() -> None:
    """Without rows there is nothing to measure."""
    scores = Scores(TEXT)
    assert scores.measure() is None
    assert scores.measure_segments() == {}
