"""The report over the zoo, from canned measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.benchmark import zoo_chart, zoo_measures, zoo_report
from loadtests.benchmark.measurement import Measurements, Point
from tests.loadtests.benchmark.test_report import POINT
from tests.loadtests.test_bench import LOGGED


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
    cost = next(one for one in zoo_measures.LOG if one.title == "rows lost, %")
    found = cost.find(FOUND["good"])
    assert found is not None
    assert round(found, 6) == 20.0
    assert not cost.is_met(found)


def test_delivery_counts_against_the_log() -> None:
    """Rows that reach the store after the load make its answers a second, and its CPU, dearer."""
    found = measured(400.0, 500.0)
    found.points = [replace(point, seconds=4.0, cores=1.0) for point in found.points]
    found.points[0] = replace(found.points[0], drain_seconds=4.0, drain_cpu_seconds=2.0)
    values = {one.title: one.find(found) for one in zoo_measures.LOG}
    assert values["rows lost, %"] == pytest.approx(20.0)
    assert values["rows lost, %, delivery included"] == pytest.approx(60.0)
    # 6 CPU seconds for 1,600 rows, 4 for 2,000.
    assert values["rows, added CPU us"] == pytest.approx(1750.0)


def test_several_rounds_show_their_range() -> None:
    """The median stands first and decides about the goal, the least and the most after it."""
    rounds = [
        replace(POINT, peer=peer, round=number, per_second=rate)
        for peer, rates in (("tabserve", (100, 250, 400)), ("fastapi", (100, 100, 100)))
        for number, rate in enumerate(rates)
    ]
    text = zoo_report.render({"one": Measurements({}, "x", rounds)}, [])
    assert "| one | - | **2.50** (1.00 to 4.00) |" in text


def test_the_second_core_is_apart() -> None:
    """Loads on two cores are in no ratio of one core, and have their own columns."""
    both = [
        replace(POINT, peer=peer, cpus=2, per_second=rate)
        for peer, rate in (("tabserve", 1000.0), ("tabserve-defaults", 970.0))
    ]
    text = zoo_report.render({"one": measured(400.0, 500.0, *both)}, [])
    head = next(
        line for line in text.splitlines() if line.startswith("| model | engine | rows lost")
    )
    assert "| rows lost, %, second core |" in head
    assert "| one | accelerated | **20** | **20** |" in text
    assert "| one | tabserve-defaults, second core | row | 32 | 970 | - |" in text


def test_the_log_is_in_the_report() -> None:
    """What waited after a load is shown, and a log that lacks a row stands out."""
    found = measured(400.0, 500.0)
    found.points[0] = replace(
        found.points[0], seconds=3.0, waiting_rows=700, oldest_seconds=0.5, drain_seconds=1.5
    )
    found.logs = [LOGGED, replace(LOGGED, round=1, stored=99)]
    text = zoo_report.render({"one": found}, [])
    assert "| one | tabserve-defaults | row | 32 | 1,200 | 700 | 0.50 | 1.50 |" in text
    assert "| one | tabserve-defaults | 1 | 1 | 100 | 3 | 100 | 0 | 100 | yes |" in text
    assert "| one | tabserve-defaults | 2 | 1 | 100 | 3 | 100 | 0 | 99 | **no** |" in text


def test_what_cannot_be_served_is_no_failure() -> None:
    """Servers without numbers are listed, those that failed apart from those not made for it."""
    found = replace(FOUND["good"], failed={"mlflow": "ended"}, cannot={"mlserver": "no trees"})
    text = zoo_report.render({"good": found}, [])
    assert "| good | mlflow | failed | ended |" in text
    assert "| good | mlserver | cannot serve it | no trees |" in text


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
