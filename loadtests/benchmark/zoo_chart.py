"""One picture of the zoo: the ratios to the peer by model, the worst model first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # files only: no display is needed, none is looked for

from matplotlib import pyplot  # after the choice above

from loadtests.benchmark.measurement import Measurements
from loadtests.benchmark.zoo_measures import RATIOS
from loadtests.benchmark.zoo_report import worst_first

_COLORS = ("#1b6ca8", "#8fc1e3", "#b5651d", "#e8b98a")
_WIDTH = 0.2


def draw(found: Mapping[str, Measurements], folder: Path, stem: str) -> list[str]:
    """Draw into a folder; give the names of the files, none where no ratio is known."""
    found = {
        name: measured
        for name, measured in found.items()
        if any(measure.find(measured) is not None for measure in RATIOS)
    }
    if not found:
        return []
    names = worst_first(found)
    figure, axis = pyplot.subplots(figsize=(11, 5), layout="constrained")
    for place, measure in enumerate(RATIOS):
        load = "rows, 32 connections" if place < 2 else "1,000 rows of JSON"
        axis.bar(
            [number + (place - 1.5) * _WIDTH for number in range(len(names))],
            [measure.find(found[name]) or 0.0 for name in names],
            _WIDTH,
            color=_COLORS[place],
            label=f"{load}, {'stripped' if place % 2 else 'defaults'}",
        )
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel("times FastAPI's answers a second")
    axis.grid(visible=True, axis="y", alpha=0.3)
    axis.legend(frameon=False, ncols=2)
    name = f"{stem}.png"
    # No date and no software in the file: the same numbers give the same bytes.
    figure.savefig(folder / name, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return [name]
