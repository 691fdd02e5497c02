"""Where the bars of a histogram begin and end: bins follow the values that there are.

A fixed number of equal bins draws combs that are not in the data: 24 hours in 30 bins leave
gaps, 31 days put two in one. So few values have a bar each, values on a lattice (whole numbers,
steps of 0.5 or of 10,000) have bins of a whole number of steps, and amounts over several powers
of ten have bins that grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# As many bars as can be seen apart at a picture's width.
MOST = 30

# What is drawn: the values between these quantiles; the first and the last bar hold the rest.
_QUANTILES = (0.01, 0.99)

# Amounts: the upper end is so many times the lower one.
_AMOUNT_RATIO = 100.0

# Values looked at to find the step of a lattice, and the largest number of steps between two of
# them: digits of a measurement are no lattice worth drawing.
_LATTICE_VALUES, _MOST_STEPS = 2_000, 100_000

# Beyond it differences of values, and sums of steps, are no float64.
_LARGEST_SPAN = 1e300


@dataclass(frozen=True)
class Bins:
    """Edges of the bars, ascending, one more than there are bars.

    `kind`: "values", a bar for each value, edges between them; "linear" or "log", of the axis.
    `names`: what each bar holds.
    """

    edges: NDArray[np.float64]
    names: list[str]
    kind: Literal["values", "linear", "log"]

    def count(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Values in each bar; those beyond the edges are in the first and the last one."""
        places = np.searchsorted(self.edges[1:-1], values, "right")
        return np.bincount(places, minlength=len(self.names))


def find_bins(values: NDArray[np.float64]) -> Bins:
    """Find the bins of finite values, shape (n,), n at least 1."""
    distinct = np.unique(values)
    if len(distinct) <= MOST:
        # The middle of two halves: their sum may be beyond float64.
        between = distinct[:-1] / 2 + distinct[1:] / 2
        edges = np.concatenate([distinct[:1], between, distinct[-1:]])
        return Bins(edges, [write_number(value) for value in distinct], "values")
    # Of large numbers the difference may be beyond float64, that of their quarters is not.
    low, high = np.quantile(values / 4, _QUANTILES) * 4
    positive = values[values > 0]
    if len(positive) == len(values) or (values.min() >= 0 and len(positive) > len(values) / 2):
        least, most = np.quantile(positive, _QUANTILES)
        if most >= _AMOUNT_RATIO * least:
            edges = np.geomspace(least, most, MOST + 1)
            return Bins(edges, _name(edges), "log")
    step = find_step(distinct, low, high)
    if step:
        # Edges between two points of the lattice, so that each bar holds as many points.
        inside = distinct[(distinct >= low) & (distinct <= high)]
        points = round((inside[-1] - inside[0]) / step) + 1
        width = step * -(-points // MOST)
        count = -(-points // round(width / step))
        edges = inside[0] - step / 2 + width * np.arange(max(2, count) + 1)
    else:
        edges = np.linspace(low / 4, high / 4, MOST + 1) * 4
    return Bins(edges, _name(edges), "linear")


def find_step(distinct: NDArray[np.float64], low: float, high: float) -> float:
    """The step of the lattice that all values lie on; 0 where they lie on none worth drawing."""
    inside = distinct[(distinct >= low) & (distinct <= high)]
    span = high / 4 - low / 4
    if len(inside) < 2 or not 0.0 < span < _LARGEST_SPAN:
        return 0.0
    chosen = inside[:: max(1, len(inside) // _LATTICE_VALUES)]
    # Whole numbers lie on a lattice even where no two neighbours are among them.
    for step in (float(np.diff(chosen).min()), 1.0):
        if step > 0.0 and 4 * span / step <= _MOST_STEPS:
            steps = (inside - inside[0]) / step
            # A thousandth of a step is the rounding of decimals; more is no lattice.
            if np.all(np.abs(steps - np.round(steps)) < 1e-3):
                return step
    return 0.0


def write_number(value: float) -> str:
    """A number for people: thousands with commas, no more digits than tell it apart."""
    size = abs(value)
    if size < 1e9 and (value == round(value) or size >= 1e4):
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e-3 <= size < 1e9 else f"{value:.3g}"


def _name(edges: NDArray[np.float64]) -> list[str]:
    texts = [write_number(edge) for edge in edges]
    between = [f"{texts[place]} to {texts[place + 1]}" for place in range(1, len(texts) - 2)]
    return [f"below {texts[1]}", *between, f"{texts[-2]} and above"]
