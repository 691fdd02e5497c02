"""Latencies and failures, stage by stage."""

from __future__ import annotations

from time import perf_counter

import pytest

from loadtests.session import Sample, watch
from loadtests.traffic.plan import Stage
from loadtests.traffic.recorder import Recorder

STAGE = Stage("rows", 5, users=8)


def test_a_stage_is_summed_up() -> None:
    """Good answers give latencies, others are counted by reason, and nothing is both."""
    recorder = Recorder()
    recorder.begin(STAGE)
    later = perf_counter() + 10
    for number in range(1, 101):
        recorder.add("predict", later, later + number / 1e3, None)
    recorder.add("predict", later, later + 9, "status 503")
    recorder.end(behind=3, late=[0.001])
    (passage,) = recorder.passages
    tally = passage.tallies["predict"]
    assert (tally.good, tally.failures) == (100, {"status 503": 1})
    assert (tally.p50, tally.p99, tally.longest) == pytest.approx((50, 99, 100))
    assert (passage.failed, passage.behind, passage.late_p99) == (1, 3, 1.0)


def test_what_began_before_the_stage_settled_is_not_counted() -> None:
    """A request of the stage before says nothing of this one, unless it failed."""
    recorder = Recorder()
    before = perf_counter()
    recorder.begin(STAGE)
    recorder.add("predict", before, before + 1, None)
    recorder.add("predict", before, before + 1, "wrong score")
    recorder.end()
    assert recorder.passages[0].tallies["predict"].good == 0
    assert recorder.passages[0].failed == 1


def test_usage_is_that_of_the_stage() -> None:
    """CPU and memory of a stage come from the samples within it, and no others."""
    recorder = Recorder()
    recorder.begin(STAGE)
    recorder.end()
    (passage,) = recorder.passages
    passage.started, passage.ended = 10.0, 20.0
    watch(
        passage,
        [
            Sample(9.0, 0.0, 0.0, 0.0, 900),
            Sample(10.0, 1.0, 0.0, 0.0, 100),
            Sample(15.0, 4.0, 1.0, 4.5, 101),
            Sample(20.0, 9.0, 5.0, 9.0, 104),
            Sample(21.0, 9.0, 5.0, 9.0, 900),
        ],
    )
    assert passage.cores == pytest.approx(0.8)
    assert passage.load_cores == pytest.approx(0.5)
    assert passage.other_cores == pytest.approx(0.1)
    assert passage.rss_bytes == 104
    assert passage.rss_growth == pytest.approx(0.04)
