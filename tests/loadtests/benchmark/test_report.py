"""The report, from canned measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loadtests.benchmark import measurement, report
from loadtests.benchmark.measurement import Measurements, Point, Start

POINT = Point(
    peer="tabserve",
    kind="row",
    rows=1,
    workers=1,
    connections=32,
    round=0,
    per_second=900.0,
    p50=1.0,
    p95=1.5,
    p99=1.9,
    longest=3.0,
    failures=0,
    cores=0.9,
    rss_bytes=200_000_000,
    largest_rss_bytes=100_000_000,
    load_cores=0.2,
    other_cores=0.01,
)


def _measured(*points: Point) -> Measurements:
    return Measurements(
        environment={"date": "2026-01-01"},
        command="python -m loadtests.bench",
        points=list(points),
        starts=[Start("tabserve", 0, 2.0)],
        differences={"tabserve row": 0.0},
    )


def test_a_ratio_is_taken_within_rounds() -> None:
    """A round that was slow for all leaves the ratio as it is."""
    measured = _measured(
        POINT,
        replace(POINT, peer="fastapi", per_second=300.0),
        replace(POINT, round=1, per_second=90.0),
        replace(POINT, peer="fastapi", round=1, per_second=30.0),
    )
    assert measured.ratio("per_second", "tabserve", "fastapi", "row", 32) == 3.0


def test_targets_are_marked() -> None:
    """Met, missed and not measured are three different things."""
    text = report.render(_measured(POINT, replace(POINT, peer="fastapi", per_second=450.0)))
    assert "at least 3.0 times FastAPI's requests/s | 2.00 | **missed** |" in text
    assert "p99 at most 2 times p50 | 1.90 | met |" in text
    assert "at least 10 times stock BentoML's | - | not measured |" in text


def test_losing_rows_are_printed() -> None:
    """Where a peer is better, the report says so; a floor is no peer."""
    measured = _measured(
        POINT,
        replace(POINT, peer="fastapi", p50=0.5, rss_bytes=100_000_000),
        replace(POINT, peer="floor", p50=0.1),
    )
    lost = report.render(measured).split("## Where tabserve loses")[1]
    assert "| row | 32 | p50 | fastapi | 2.00 |" in lost
    assert "| row | 32 | memory | fastapi | 2.00 |" in lost
    assert "floor" not in lost


def test_a_disturbed_run_says_so() -> None:
    """Numbers taken beside other work on the core carry a warning."""
    assert "Not for publication" not in report.render(_measured(POINT))
    assert "Not for publication" in report.render(_measured(replace(POINT, other_cores=0.3)))


def test_a_failed_server_is_in_the_report() -> None:
    """A server that gave no numbers is named with the reason, not left out."""
    measured = _measured(POINT)
    measured.failed["mlflow"] = "ended with 1:\nno such model"
    assert "| mlflow | failed | ended with 1: no such model |" in report.render(measured)


def test_measurements_survive_a_file(tmp_path: Path) -> None:
    """What is saved beside a report is read back the same."""
    measured = _measured(POINT)
    measurement.save(measured, tmp_path / "run.json")
    assert measurement.load(tmp_path / "run.json") == measured
