"""Bins follow the values: no comb, no gap that the data has not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.drift.report.bins import MOST, Bins, find_bins, write_number


def share_of_empty(bins: Bins, values: NDArray[np.float64]) -> float:
    return float((bins.count(values) == 0).mean())


@pytest.mark.parametrize("count", [2, 12, 24, 30])
def test_few_values_have_a_bar_each(count: int) -> None:
    """Hours, months, grades: as many bars as values, each of its own height."""
    values = np.repeat(np.arange(float(count)), np.arange(1, count + 1))
    bins = find_bins(values)
    assert bins.kind == "values"
    assert bins.count(values).tolist() == list(range(1, count + 1))
    assert bins.names[1] == "1"


@pytest.mark.parametrize(
    ("step", "count"), [(1.0, 31), (1.0, 53), (1.0, 366), (0.5, 77), (10_000.0, 81), (0.1, 95)]
)
def test_values_on_a_lattice_fill_bars_alike(step: float, count: int) -> None:
    """Equally frequent values give bars of equal height, but for the first and the last one."""
    values = np.repeat(np.arange(count) * step, 50)
    bins = find_bins(values)
    inner = bins.count(values)[1:-1]
    assert len(bins.names) <= MOST + 1
    assert inner.min() == inner.max()


def test_whole_numbers_with_gaps_have_bins_of_whole_numbers() -> None:
    """Even where no two neighbours are there: the edges lie between whole numbers."""
    random = np.random.default_rng(1)
    values = np.unique(random.integers(0, 500, 60) * 3 + random.integers(0, 2, 60)).astype(float)
    bins = find_bins(values)
    assert bins.kind == "linear"
    assert np.all(np.abs(bins.edges % 1.0 - 0.5) < 1e-9)


def test_amounts_have_bins_that_grow() -> None:
    """Over four powers of ten, zeros among them: the picture is not one bar and a long tail."""
    random = np.random.default_rng(2)
    amounts = np.exp(random.normal(7.0, 2.0, 5_000)).round(2)
    amounts[:500] = 0.0
    bins = find_bins(amounts)
    assert bins.kind == "log"
    assert bins.count(amounts).max() < 0.2 * len(amounts)
    assert bins.count(amounts)[0] >= 500


def test_measurements_have_equal_bins() -> None:
    """A continuous, symmetric column: linear, and all of it in the bars."""
    values = np.random.default_rng(3).normal(size=4_000)
    bins = find_bins(values)
    assert bins.kind == "linear"
    assert len(bins.names) == MOST
    assert bins.count(values).sum() == 4_000
    assert np.allclose(np.diff(bins.edges), bins.edges[1] - bins.edges[0])
    assert share_of_empty(bins, values) == 0.0


@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, -1.7e308], [5e-324, 0.0], [np.finfo(np.float64).max] * 5, [0.0],
        (np.linspace(-1.0, 1.0, 100) * 1.7e308).tolist(), np.geomspace(1e-300, 1e300, 99).tolist(),
        (np.arange(100) * 1e300).tolist(), (np.arange(100) * 1e-300).tolist(),
    ],
)  # fmt: skip
def test_extreme_values_have_finite_bins(values: list[float]) -> None:
    """As large and as small as there are: every value is in a bar."""
    column = np.array(values)
    bins = find_bins(column)
    assert np.isfinite(bins.edges).all()
    assert bins.count(column).sum() == len(column)


def test_numbers_are_written_for_people() -> None:
    """Thousands with commas, few digits, and never a row of a hundred zeros."""
    written = [write_number(value) for value in (1234567.0, 0.12345, 1e200, 5e-324, -3.0)]
    assert written == ["1,234,567", "0.1235", "1e+200", "4.94e-324", "-3"]
