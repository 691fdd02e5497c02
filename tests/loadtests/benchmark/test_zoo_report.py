"""The report over the zoo, from canned measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loadtests.benchmark import zoo_chart, zoo_report
from loadtests.benchmark.measurement import Measurements, Point
from tests.loadtests.benchmark.test_report import POINT


def measured(defaults: float, stripped: float, *more: Point) -> Measurements:
    """One model of which the peer answers 100 rows a second."""
    points = [
        replace(POINT, peer=peer, per_second=rate)
        for peer, rate in (
            ("tabserve-defaults", defaults),
            ("tabserve", stripped),
            ("fastapi", 100),
        )
    ]
    return Measurements({"date": "2026-01-01", "engine": "accelerated"}, "x", [*points, *more])


FOUND = {
    "good": measured(400.0, 500.0),
    "bad": measured(80.0, 400.0),
    "alone": Measurements({}, "x", [POINT], failed={"fastapi": "it has\nno such model"}),
}


def test_the_worst_model_comes_first() -> None:
    """Models are in the order of their least ratio; one without a peer is the last."""
    assert zoo_report.worst_first(FOUND) == ["bad", "good", "alone"]
    text = zoo_report.render(FOUND, [])
    assert "| bad | accelerated | **0.80** | 4.00 |" in text
    assert "| good | accelerated | 4.00 | 5.00 |" in text
    assert "| 0.80 (bad) | 2.40 | 4.00 (good) | 1 of 2 |" in text


def test_losing_rows_come_first() -> None:
    """Of all loads, those that tabserve loses to the peer are at the top."""
    text = zoo_report.render(FOUND, []).partition("losing rows first")[2]
    first = next(line for line in text.splitlines() if line.startswith(("| bad", "| good")))
    assert first.startswith("| bad | tabserve-defaults | row | 32 | 80 | 0.80 |")


def test_what_the_logs_cost_is_a_share() -> None:
    """Both logs cost what the defaults answer less than the stripped server."""
    cost = next(one for one in zoo_report.MEASURES if one.title == "both logs cost rows, %")
    found = cost.find(FOUND["good"])
    assert found is not None
    assert round(found, 6) == 20.0
    assert not cost.is_met(found)


def test_a_busy_machine_is_said() -> None:
    """Numbers taken beside other work say that they are not for publication."""
    busy = {"good": measured(400.0, 500.0, replace(POINT, other_cores=0.5))}
    assert "Not for publication: other work took up to 50%" in zoo_report.render(busy, [])
    assert "Not for publication" not in zoo_report.render(FOUND, [])


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """Models with a ratio are drawn; without any there is no picture."""
    assert zoo_chart.draw(FOUND, tmp_path, "day-zoo") == ["day-zoo.png"]
    assert (tmp_path / "day-zoo.png").stat().st_size > 1000
    assert zoo_chart.draw({"alone": FOUND["alone"]}, tmp_path, "other") == []
