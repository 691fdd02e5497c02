"""What makes a soak good, and its report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.benchmark import soak_report
from loadtests.benchmark.soak import Moment, Soak

GOOD = Soak(
    model="one",
    engine="accelerated",
    peak=100.0,
    rate=70.0,
    seconds=300.0,
    scheduled=21_000,
    answered=21_000,
    p50=1.0,
    p99=3.0,
    longest=9.0,
    late_p99=0.1,
    cores=0.7,
    other_cores=0.01,
    waiting_rows=40,
    drain_seconds=0.2,
    stored=21_000,
    # The first minute does not count.
    moments=[Moment(float(s), 50 if s < 60 else 100, 7 if s == 90 else None) for s in range(300)],
)


def _grown(by: int) -> list[Moment]:
    return [replace(m, rss_bytes=m.rss_bytes + by * (m.seconds > 280)) for m in GOOD.moments]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (GOOD, ""),
        (replace(GOOD, moments=_grown(4)), ""),
        (replace(GOOD, moments=_grown(6)), "memory changed by +6.0%"),
        (replace(GOOD, moments=_grown(-6)), "memory changed by -6.0%"),
        (replace(GOOD, moments=[]), "memory changed by +inf%"),
        (replace(GOOD, answered=20_999, stored=20_999, failures={"wrong": 1}), "1 wrong"),
        (replace(GOOD, answered=20_999, stored=20_999), "requests without an outcome"),
        (replace(GOOD, scheduled=0, answered=0, stored=0), "requests without an outcome"),
        (replace(GOOD, stored=20_990), "10 rows are not in the log"),
        (replace(GOOD, dropped=2), "0 rows are not in the log"),
        (replace(GOOD, late_p99=6.0), "the generator was late: this run proves nothing"),
        (replace(GOOD, late_p99=float("nan")), "the generator was late: this run proves nothing"),
    ],
)
def test_a_soak_is_good_or_not(changed: Soak, reason: str) -> None:
    """A failure, memory that moves, a row that is not in the log, or a late generator break it."""
    assert changed.broken == ([reason] if reason else [])


def test_what_is_not_good_comes_first() -> None:
    """The report names what was broken, and shows memory minute by minute."""
    bad = replace(GOOD, model="two", moments=_grown(20), stored=20_990)
    text = soak_report.render({"date": "2026-01-01"}, "x", [GOOD, bad])
    assert "**1 of 2 runs are not good.**" in text
    assert text.index("| two | accelerated |") < text.index("| one | accelerated |")
    assert "| two | memory changed by +20.0% |" in text
    assert "| two | 10 rows are not in the log |" in text
    assert "| one | 0 | 0 | 0 | 0 | 0 |" in text
    assert "All 1 runs are good." in soak_report.render({}, "x", [GOOD])
    assert "Not for publication" in soak_report.render({}, "x", [replace(GOOD, other_cores=0.4)])
