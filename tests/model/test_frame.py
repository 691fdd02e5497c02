"""Frames and screens: numbers for the model, and what training did not see."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from bentos.model.contract import Feature, Profile
from bentos.model.frame import Framer, Screen
from tests.rows import ENCODED, PLAIN, WIDE, contract_of


def test_matrix() -> None:
    """Rows become float64 in contract order: booleans 0 and 1, categories their codes."""
    frame = Framer(PLAIN).frame([ENCODED, ENCODED])
    assert frame.matrix.dtype == np.float64
    assert frame.matrix.tolist() == [[1.5, 2.5, 4, 5, 1, 1, 1, 1, 1, 3.25]] * 2
    assert frame.rows == [ENCODED, ENCODED]


def test_missing_is_nan() -> None:
    """What is missing becomes NaN, of whatever type."""
    row = (None,) * len(PLAIN.features)
    assert np.isnan(Framer(PLAIN).frame([row]).matrix).all()


def test_text_is_no_number() -> None:
    """Text is 0 in the matrix, for no booster sees it, and NaN where it is missing."""
    row = (*ENCODED, None, None, None, "text")
    bare = (*ENCODED, None, None, None, None)
    frame = Framer(WIDE).frame([row, bare])
    assert frame.matrix[0, -1] == 0.0
    assert np.isnan(frame.matrix[1, -1])
    assert frame.rows[0][-1] == "text"


def test_single_precision() -> None:
    """A `float` column is rounded to float32, as it was in training; a `double` is not."""
    features = (Feature("s", "float", "float"), Feature("d", "float", "double"))
    frame = Framer(contract_of(*features)).frame([(0.1, 0.1), (None, None)])
    assert frame.matrix[0].tolist() == [float(np.float32(0.1)), 0.1]
    assert np.isnan(frame.matrix[1]).all()


def test_integers_are_exact() -> None:
    """The largest integers that a contract accepts are exact in the matrix."""
    frame = Framer(contract_of(Feature("n", "integer", "long"))).frame([(2**53,), (-(2**53),)])
    assert frame.matrix[:, 0].astype(int).tolist() == [2**53, -(2**53)]


SCREENED = contract_of(
    Feature("age", "float", "double", profile=Profile(0.0, 18.0, 90.0)),
    Feature("in/come", "float", "double", profile=Profile(0.2, 0.0, 100.0)),
    Feature("colour", "category", "string", categories=("a", "b"), profile=Profile(0.0)),
    Feature("new", "float", "double"),
)
NAN = float("nan")


@pytest.mark.parametrize(
    ("row", "missing", "outside", "warnings"),
    [
        ((18.0, 100.0, 1.0, 5.0), {}, {}, []),
        ((17.9, 50.0, 0.0, 5.0), {}, {"age": 1}, [("/age", "out_of_range")]),
        (
            (90.1, 100.1, 0.0, 5.0),
            {},
            {"age": 1, "in/come": 1},
            [("/age", "out_of_range"), ("/in~1come", "out_of_range")],
        ),
        ((NAN, 50.0, 0.0, 5.0), {"age": 1}, {}, [("/age", "unexpected_missing")]),
        ((20.0, NAN, 0.0, 5.0), {"in/come": 1}, {}, []),
        ((20.0, 50.0, NAN, 5.0), {"colour": 1}, {}, [("/colour", "unexpected_missing")]),
        ((20.0, 50.0, 0.0, NAN), {"new": 1}, {}, []),
        ((20.0, 50.0, 0.0, 1e300), {}, {}, []),
    ],
)
def test_screen(
    row: tuple[float, ...],
    missing: dict[str, int],
    outside: dict[str, int],
    warnings: list[tuple[str, str]],
) -> None:
    """A row is warned of what training never saw, and of nothing else; no value is told."""
    found = Screen(SCREENED).look(np.array([row]))
    assert (found.missing, found.outside) == (missing, outside)
    told = found.warnings.get(0, [])
    assert [(warned.pointer, warned.code) for warned in told] == warnings
    assert "17.9" not in msgspec.json.encode(told).decode()


def test_screen_of_many_rows() -> None:
    """Counts are over all rows; warnings belong to their rows."""
    rows = [[20.0, 50.0, 0.0, 1.0], [1.0, NAN, 0.0, 1.0], [2.0, 50.0, NAN, 1.0]]
    found = Screen(SCREENED).look(np.array(rows))
    assert found.outside == {"age": 2}
    assert found.missing == {"in/come": 1, "colour": 1}
    assert {row: len(warned) for row, warned in found.warnings.items()} == {1: 1, 2: 2}
