"""Pictures of reference against window, as inline SVG: no file, no script, no other host.

Bars are the reference, the line is the window; both are shares of the values present. A bar
shows its name and both shares where a pointer rests on it.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from os.path import commonprefix

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.drift.decision.sample import UNSEEN
from monitoring.drift.report.bins import find_bins, write_number

_WIDTH, _HEIGHT, _HEAD, _FOOT = 360, 120, 18, 16

# Categories whose names fit; the width of a character below the bars.
_BARS = 12
_NAME_CHARACTERS = 14
_CHARACTER = 6

# Of names that are cut off, the common beginning is left out if it is at least so long.
_COMMON_CHARACTERS = 4

_REST = "all others"
_SHORT = {UNSEEN: "unseen"}

# What is a bar and what a line, above the bars.
_LEGEND = (
    f'<rect class="bar" x="0" y="{4 - _HEAD}" width="10" height="8"/>'
    f'<text x="14" y="{12 - _HEAD}">reference</text>'
    f'<polyline points="72,{8 - _HEAD} 86,{8 - _HEAD}"/>'
    f'<text x="90" y="{12 - _HEAD}">window</text>'
)


def draw_numbers(reference: NDArray[np.float64], window: NDArray[np.float64]) -> str:
    """Two histograms over the middle 98 % of both sides; what is beyond is in the last bars."""
    before, after = (side[~np.isnan(side)] for side in (reference, window))
    both = np.concatenate([before, after])
    if not len(both):
        return ""
    bins = find_bins(both)
    shares = [bins.count(side) / max(1, len(side)) for side in (before, after)]
    count = len(bins.names)
    if bins.kind == "values":
        labels = _pick_labels([(place + 0.5, name) for place, name in enumerate(bins.names)])
    else:
        labels = [(0.0, write_number(bins.edges[0])), (float(count), write_number(bins.edges[-1]))]
        if bins.kind == "log":
            labels.insert(1, (count / 2, f"log axis, {write_number(bins.edges[count // 2])}"))
    return _draw(shares[0].tolist(), shares[1].tolist(), labels, bins.names)


def _pick_labels(labels: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """As many labels as fit below the picture, evenly spread."""
    widest = max(len(text) for _, text in labels) + 1
    fitting = max(1, _WIDTH // (widest * _CHARACTER))
    return labels[:: -(-len(labels) // fitting)]


def draw_categories(reference: Sequence[str | None], window: Sequence[str | None]) -> str:
    """A bar a category, the most frequent ones of both sides; the others in one bar."""
    counts = [Counter(value for value in side if value is not None) for side in (reference, window)]
    totals = [max(1, sum(side.values())) for side in counts]
    names = [
        name
        for name, _ in sorted(
            (
                (name, counts[0][name] / totals[0] + counts[1][name] / totals[1])
                for name in counts[0].keys() | counts[1].keys()
            ),
            key=lambda item: (-item[1], item[0]),
        )
    ]
    if not names:
        return ""
    shown = names if len(names) <= _BARS else names[: _BARS - 1]
    shares = [
        [side[name] / total for name in shown] for side, total in zip(counts, totals, strict=True)
    ]
    labels = list(shown)
    if len(names) > len(shown):
        labels.append(_REST)
        for side in shares:
            side.append(max(0.0, 1.0 - sum(side)))
    most = max(4, min(_NAME_CHARACTERS, _WIDTH // len(labels) // _CHARACTER))
    texts = shorten(labels, most)
    places = [(place + 0.5, text) for place, text in enumerate(texts)]
    return _draw(shares[0], shares[1], places, labels)


def shorten(names: Sequence[str], most: int) -> list[str]:
    """Names in at most so many characters: first goes what the long ones begin with alike."""
    long = [name for name in names if len(name) > most and name not in _SHORT]
    common = commonprefix(long) if len(long) > 1 else ""  # noqa: RUF071 - of texts, not paths
    cut = len(common) if len(common) >= _COMMON_CHARACTERS else 0
    return [
        _SHORT.get(name, name) if name not in long else _squeeze("…" * bool(cut) + name[cut:], most)
        for name in names
    ]


def _squeeze(text: str, most: int) -> str:
    # Both ends: names that begin alike often end differently.
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def draw(reference: pd.Series, window: pd.Series) -> str:
    """The picture that fits the column; empty where neither side has a value."""
    if reference.dtype == np.float64:
        return draw_numbers(reference.to_numpy(), window.to_numpy())
    return draw_categories(reference.tolist(), window.tolist())


def _draw(
    reference: Sequence[float],
    window: Sequence[float],
    labels: Sequence[tuple[float, str]],
    names: Sequence[str],
) -> str:
    top = max(*reference, *window) or 1.0
    step = _WIDTH / len(reference)

    def height(share: float) -> float:
        return round((1.0 - share / top) * _HEIGHT, 1)

    bars = "".join(
        f"<g><title>{html.escape(name)}: reference {before:.1%}, window {after:.1%}</title>"
        # Something to point at, where there is no bar.
        f'<rect x="{place * step:.1f}" y="0" width="{step:.1f}" height="{_HEIGHT}"/>'
        f'<rect class="bar" x="{place * step + 0.5:.1f}" y="{height(before)}" '
        f'width="{step - 1:.1f}" height="{_HEIGHT - height(before):.1f}"/></g>'
        for place, (name, before, after) in enumerate(zip(names, reference, window, strict=True))
    )
    line = " ".join(
        f"{place * step:.1f},{height(share)} {(place + 1) * step:.1f},{height(share)}"
        for place, share in enumerate(window)
    )
    texts = "".join(
        f'<text x="{place * step:.1f}" y="{_HEIGHT + _FOOT - 4}" '
        f'text-anchor="{_anchor(place, len(reference))}">{html.escape(text)}</text>'
        for place, text in labels
    )
    return (
        f'<svg viewBox="0 {-_HEAD} {_WIDTH} {_HEAD + _HEIGHT + _FOOT}" role="img" '
        'aria-label="reference as bars, window as a line">'
        f'{_LEGEND}{bars}<polyline points="{line}"/>{texts}</svg>'
    )


def _anchor(place: float, last: int) -> str:
    return "start" if place == 0 else "end" if place == last else "middle"
