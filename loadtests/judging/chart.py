"""Two pictures of a comparison: latency percentiles over load, throughput over load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")  # files only: no display is needed, none is looked for

from matplotlib import pyplot  # after the choice above

from loadtests.judging import comparison
from loadtests.judging.comparison import Comparison, Value

_INCHES = (11, 8)
_MARKERS = "osD^vP*Xh<>"


def draw(found: Comparison, folder: Path, stem: str) -> list[str]:
    """Draw into a folder; give the names of the files."""
    names = [f"{stem}-latency.png", f"{stem}-throughput.png"]
    _latency(found, folder / names[0])
    _throughput(found, folder / names[1])
    return names


def _latency(found: Comparison, path: Path) -> None:
    figure, axes = pyplot.subplots(2, 2, figsize=_INCHES, sharey=True, layout="constrained")
    for row, (name, value) in enumerate((("p50", comparison.p50), ("p99", comparison.p99))):
        for column, is_open in enumerate((False, True)):
            axis = axes[row][column]
            axis.set_yscale("log")
            _lines(axis, found, value, is_open=is_open)
            axis.set_title(f"{name}, {'arrivals by schedule' if is_open else 'closed loop'}")
            if column == 0:
                axis.set_ylabel("milliseconds")
    _finish(figure, axes[0][0], path)


def _throughput(found: Comparison, path: Path) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    shown = ((comparison.per_second, "answers/s"), (comparison.a_core_second, "a core-second"))
    for axis, (value, name) in zip(axes, shown, strict=True):
        _lines(axis, found, value, is_open=False)
        axis.set_title(f"{name}, closed loop")
        axis.set_yscale("linear")
        axis.set_ylim(0, None)
    _finish(figure, axes[0], path)


def _lines(axis: Any, found: Comparison, value: Value, *, is_open: bool) -> None:
    stages = [stage for stage in found.stages() if bool(stage.rate) is is_open]
    for place, profile in enumerate(found.profiles):
        points = [
            (stage.rate if is_open else stage.users, number)
            for stage in stages
            if (number := found.middle(profile.name, stage.stage, value))
        ]
        axis.plot(
            [load for load, _ in points],
            [number for _, number in points],
            marker=_MARKERS[place % len(_MARKERS)],
            color=f"C{place}",
            label=profile.name,
            linewidth=1.4,
            markersize=5,
        )
    loads = [stage.rate if is_open else stage.users for stage in stages]
    axis.set_xscale("log")
    axis.set_xticks(loads, [f"{load:,.0f}" for load in loads])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda number, _: f"{number:,g}")
    axis.set_xlabel("arrivals a second" if is_open else "connections, each always busy")
    axis.grid(visible=True, alpha=0.3)


def _finish(figure: Any, axis: Any, path: Path) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    # No date and no software in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
