"""The judge compares two versions, and says nothing where nothing can be said."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bentos.rollout.judge import Limits, Sample, difference, judge

INFINITE = float("inf")
LIMITS = Limits()


def sample(
    requests: float = 5000,
    errors: float = 0,
    slow: float = 0.02,
    ones: float = 0.2,
    score_shift: float = 0.0,
) -> Sample:
    """What a version did: shares of slow answers and of label 1, scores spread evenly."""
    return Sample(
        statuses={"200": requests - errors, "500": errors},
        durations={
            0.005: requests * 0.5,
            0.01: requests * (1 - slow),
            0.1: requests * (1 - slow / 2),
            INFINITE: requests,
        },
        labels={"0": requests * (1 - ones), "1": requests * ones},
        scores={
            0.25: requests * max(0.0, 0.25 - score_shift),
            0.5: requests * max(0.0, 0.5 - score_shift),
            0.75: requests * max(0.0, 0.75 - score_shift),
            INFINITE: requests,
        },
    )


def test_the_same_is_as_good() -> None:
    """Two versions that do the same are told to be, by every measure."""
    verdict = judge(sample(), sample(), LIMITS)
    assert verdict.finding == "as good"
    assert [each.name for each in verdict.measures] == [
        "errors",
        "answers slower than 0.01 s",
        "label 1",
        "scores",
    ]


@pytest.mark.parametrize(
    ("canary", "name"),
    [
        (sample(errors=250), "errors"),
        (sample(slow=0.3), "answers slower than 0.01 s"),
        (sample(ones=0.45), "label 1"),
        (sample(ones=0.02), "label 1"),
        (sample(score_shift=0.24), "scores"),
    ],
    ids=["throwing", "slow", "more", "fewer", "shifted"],
)
def test_each_kind_of_worse(canary: Sample, name: str) -> None:
    """One measure that is worse is enough, and the reason names it."""
    verdict = judge(sample(), canary, LIMITS)
    assert verdict.finding == "worse"
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith(name)


def test_better_is_as_good() -> None:
    """A canary that fails less and answers faster is not refused for being different."""
    verdict = judge(sample(errors=100, slow=0.04), sample(slow=0.001), LIMITS)
    assert verdict.finding == "as good"


def test_errors_are_compared_and_not_absolute() -> None:
    """Where both fail, as their store or their clients make them, the canary is as good."""
    failing = sample(requests=50_000, errors=5000)
    assert judge(failing, failing, LIMITS).finding == "as good"


@pytest.mark.parametrize("stable", [Sample(), sample()])
def test_no_data_is_never_good(stable: Sample) -> None:
    """A canary of which nothing is known is not as good, whatever the stable version did."""
    verdict = judge(stable, Sample(), LIMITS)
    assert verdict.finding == "cannot tell"
    assert all(each.finding == "cannot tell" for each in verdict.measures)


@pytest.mark.parametrize(
    "drop", [{"durations": {}}, {"labels": {}}, {"scores": {}}, {"statuses": {}}]
)
def test_one_measure_without_data_holds(drop: dict[str, dict[str, float]]) -> None:
    """A canary that lacks one kind of series is not as good by the others."""
    whole = sample()
    fields = {
        "statuses": whole.statuses,
        "durations": whole.durations,
        "labels": whole.labels,
        "scores": whole.scores,
    }
    canary = Sample(**{**fields, **drop})  # type: ignore[arg-type]  # fields of one test, each of its type
    assert judge(whole, canary, LIMITS).finding == "cannot tell"


def test_too_few_requests() -> None:
    """Below the least number not even a canary that fails always is judged."""
    verdict = judge(sample(), sample(requests=199, errors=199), LIMITS)
    assert verdict.finding == "cannot tell"
    assert "199 of 200 of the canary" in verdict.reasons[0]


def test_few_requests_say_what_they_can() -> None:
    """With just enough of them a canary that fails often is refused, a good one waits."""
    assert judge(sample(), sample(requests=300, errors=60), LIMITS).finding == "worse"
    assert judge(sample(), sample(requests=300), LIMITS).finding == "cannot tell"


def test_scores_are_judged_where_there_are_some() -> None:
    """A stable version that exports no scores asks for none."""
    whole = sample()
    stable = Sample(whole.statuses, whole.durations, whole.labels)
    verdict = judge(stable, whole, LIMITS)
    assert verdict.finding == "as good"
    assert "scores" not in [each.name for each in verdict.measures]


def test_rows_of_batches_are_not_events_of_their_own() -> None:
    """A few batches of many rows each are too few requests to judge decisions by."""
    one, other = (
        Sample(each.statuses, each.durations, {key: 100 * n for key, n in each.labels.items()})
        for each in (sample(requests=300, ones=0.2), sample(requests=300, ones=0.35))
    )
    decisions = judge(one, other, LIMITS).measures[2]
    assert decisions.name == "label 1"
    assert decisions.finding == "cannot tell"


def test_what_no_client_feels_is_not_slow() -> None:
    """A canary that takes 5 ms where the stable version takes half of one is as good."""
    fast = Sample(
        sample().statuses, {0.0005: 5000.0, 0.01: 5000.0, INFINITE: 5000.0}, {"1": 5000.0}
    )
    canary = Sample(fast.statuses, {0.0005: 0.0, 0.01: 5000.0, INFINITE: 5000.0}, fast.labels)
    assert judge(fast, canary, LIMITS).finding == "as good"


def test_a_slow_stable_version_is_no_yardstick() -> None:
    """Where the stable version's 95th percentile is beyond the last bucket, nobody can tell."""
    stuck = Sample(sample().statuses, {0.01: 10.0, INFINITE: 5000.0}, sample().labels)
    verdict = judge(stuck, sample(), LIMITS)
    assert verdict.finding == "cannot tell"


def test_the_interval_is_newcombes() -> None:
    """56 of 70 against 48 of 80: 0.2000, 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    low, high = difference((48, 80), (56, 70), 1.959964)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def draw(
    generator: random.Random, requests: int, errors: float, slow: float, ones: float
) -> Sample:
    """A sample whose events are drawn one by one."""

    def count(share: float) -> int:
        return sum(generator.random() < share for _ in range(requests))

    failed, late, positive = count(errors), count(slow), count(ones)
    return Sample(
        statuses={"200": requests - failed, "503": failed},
        durations={0.01: requests - late, 0.1: requests, INFINITE: requests},
        labels={"0": requests - positive, "1": positive},
    )


def _count(runs: int, finding: str, canary: Callable[[random.Random], Sample]) -> int:
    generator = random.Random(7)  # noqa: S311 - no secret
    found = 0
    for _ in range(runs):
        stable = draw(generator, 1500, 0.01, 0.05, 0.2)
        # One look of twenty: the level of one look is a twentieth of alpha.
        found += judge(stable, canary(generator), LIMITS).finding == finding
    return found


def test_false_alarms() -> None:
    """Of 300 looks at a canary at the very edge of the tolerance none is called worse.

    The level of a look is alpha over twenty looks and three measures: 0.25 of 300 are expected
    at most, and the probability of three or more is 0.002.
    """
    assert _count(300, "worse", lambda g: draw(g, 1500, 0.02, 0.1, 0.3)) <= 2


def test_power() -> None:
    """A canary that fails 8 % more of 1,500 requests is found in nearly every look."""
    assert _count(100, "worse", lambda g: draw(g, 1500, 0.09, 0.05, 0.2)) >= 98


def test_a_good_canary_passes() -> None:
    """With 1,500 requests and few errors the same version is found as good in nearly every look."""

    def same(generator: random.Random) -> Sample:
        return draw(generator, 3000, 0.0, 0.05, 0.2)

    generator = random.Random(11)  # noqa: S311 - no secret
    good = sum(
        judge(draw(generator, 3000, 0.0, 0.05, 0.2), same(generator), LIMITS).finding == "as good"
        for _ in range(100)
    )
    assert good >= 95
