"""The report of forms of requests, from canned points."""

from __future__ import annotations

from dataclasses import replace

from loadtests.benchmark import form_report
from loadtests.benchmark.form_report import FormPoint, Forms
from loadtests.traffic.forms import BASE

POINT = FormPoint(
    model="words",
    server="tabserve",
    form=BASE,
    round=0,
    rows=1000,
    body_bytes=200_000,
    per_second=100.0,
    p50=9.0,
    p99=12.0,
    failures=0,
    cores=1.0,
    other_cores=0.01,
)


def test_a_form_is_measured_by_json_batches() -> None:
    """Rows a second of the same model, server and round; the dearest form comes first."""
    one = replace(POINT, form="explained, one row", rows=1, per_second=500.0)
    found = Forms({"date": "2026-01-01"}, "x", [POINT, one, replace(POINT, server="other")])
    assert found.ratio("words", "tabserve", "explained, one row") == 0.005
    assert found.ratio("words", "other", "explained, one row") is None
    text = form_report.render(found)
    assert "| explained, one row | 0.005 |" in text
    dearest = text.partition("the dearest first")[2].splitlines()[4]
    assert dearest.startswith("| words | tabserve | explained, one row | 500 | 0.005 |")


def test_what_has_no_numbers_is_named() -> None:
    """A form whose scores differ, and a machine that was busy, are said."""
    found = Forms({}, "x", [replace(POINT, other_cores=0.3)], {"words, CSV": "a score differs"})
    text = form_report.render(found)
    assert "| words, CSV | a score differs |" in text
    assert "Not for publication: other work took up to 30%" in text
