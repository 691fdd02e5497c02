"""Whether a canary is as good as the stable version, worse, or whether nothing can be said.

Both versions serve at the same time from the same Service, so each is measured under the same load
and the same clients, and the canary is compared with the stable version, never with a number that
was right once. Every measure is a share of events: errors, slow answers, each label, scores below
a bound. A difference of two shares has a confidence interval (Newcombe's hybrid score interval,
"Interval estimation for the difference between independent proportions", Statistics in Medicine
1998, method 10), and the interval is held against a tolerance:

Rows of one request may be alike, so labels and scores count as much as the requests that brought
them, and no more.

- the whole interval is beyond the tolerance: worse;
- the whole interval is within the tolerance: as good;
- else: cannot tell, and more events are needed.

No data is never good. The level is shared out between the measures and the looks, so that a good
canary which is looked at a hundred times is still refused with probability `alpha` at most.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from statistics import NormalDist
from typing import Literal

Finding = Literal["as good", "worse", "cannot tell"]

# Label of a histogram's last bucket.
_INFINITE = float("inf")


@dataclass(frozen=True)
class Limits:
    """How much worse a canary may be, and how sure the judge must be.

    Shares are absolute: 0.01 is one request in a hundred more than the stable version.
    """

    alpha: float = 0.05
    # Looks that one step may take: the level is shared out between them.
    looks: int = 20
    # Answers that a verdict needs from each side. Below, a single error decides.
    min_requests: int = 200
    errors: float = 0.01
    # Of the answers above the bucket that holds the stable version's 95th percentile, or above
    # this bound: no client feels the difference of two faster ones.
    slow: float = 0.05
    slow_floor_seconds: float = 0.01
    # Of the share of any label.
    labels: float = 0.1
    # Distance of the distribution functions of the scores (Kolmogorov and Smirnov's), at buckets.
    scores: float = 0.15


@dataclass(frozen=True)
class Sample:
    """What one version did in a window. Counts may be fractions: Prometheus extrapolates.

    `statuses`: answers by HTTP status. `durations`: answers by upper bound in seconds, cumulated.
    `labels`: rows by decided label. `scores`: rows by upper bound of the score, cumulated.
    """

    statuses: Mapping[str, float] = field(default_factory=dict)
    durations: Mapping[float, float] = field(default_factory=dict)
    labels: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[float, float] = field(default_factory=dict)

    @property
    def requests(self) -> float:
        """Answers of any status."""
        return sum(self.statuses.values())

    @property
    def weight(self) -> float:
        """Requests for each row, at most 1: by how much rows count as events of their own."""
        rows = sum(self.labels.values()) or self.scores.get(_INFINITE, 0.0)
        return min(1.0, self.requests / rows) if rows else 1.0

    @property
    def errors(self) -> float:
        """Answers that the server failed: 5xx, refusals for overload included."""
        return sum(count for status, count in self.statuses.items() if status.startswith("5"))


@dataclass(frozen=True)
class Measure:
    """One measure: the two shares, the interval of their difference, and what it means."""

    name: str
    finding: Finding
    stable: float | None
    canary: float | None
    low: float | None
    high: float | None
    why: str


@dataclass(frozen=True)
class Verdict:
    """All measures, and what follows: one that is worse decides, one that cannot tell waits."""

    finding: Finding
    measures: tuple[Measure, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not as good."""
        return tuple(each.why for each in self.measures if each.finding == self.finding)


def judge(stable: Sample, canary: Sample, limits: Limits) -> Verdict:
    """Compare two versions over the same window."""
    names = sorted({*stable.labels, *canary.labels})
    # A binary model's labels mirror each other: one of two says all.
    names = names[1:] if len(names) == 2 else names
    # Scores are judged where the stable version exports them; then the canary must as well.
    bounds = [bound for bound in sorted(stable.scores) if bound != _INFINITE]
    count = 2 + max(1, len(names)) + (1 if bounds else 0)
    level = limits.alpha / (count * limits.looks)
    z = NormalDist().inv_cdf(1 - level / 2)
    measures = [
        _compare_errors(stable, canary, limits, z),
        _compare_slow(stable, canary, limits, z),
    ]
    measures += [_compare_label(name, stable, canary, limits, z) for name in names] or [
        _unknown("decisions", "no label was counted")
    ]
    if bounds:
        measures.append(_compare_scores(bounds, stable, canary, limits, level))
    found = {each.finding for each in measures}
    finding: Finding = (
        "worse" if "worse" in found else "cannot tell" if "cannot tell" in found else "as good"
    )
    return Verdict(finding, tuple(measures))


def _compare_errors(stable: Sample, canary: Sample, limits: Limits, z: float) -> Measure:
    sides = ((stable.errors, stable.requests), (canary.errors, canary.requests))
    return _compare("errors", *sides, limits.errors, limits, z)


def _compare_slow(stable: Sample, canary: Sample, limits: Limits, z: float) -> Measure:
    total = stable.durations.get(_INFINITE, 0.0)
    if not total:
        return _unknown("slow answers", "the stable version answered nothing")
    bound = min(
        bound
        for bound, count in stable.durations.items()
        if count >= 0.95 * total and bound >= limits.slow_floor_seconds
    )
    name = f"answers slower than {bound:g} s"
    if bound == _INFINITE:
        return _unknown(name, "the stable version's 95th percentile is beyond the last bucket")
    return _compare(name, _above(stable, bound), _above(canary, bound), limits.slow, limits, z)


def _above(sample: Sample, bound: float) -> tuple[float, float]:
    total = sample.durations.get(_INFINITE, 0.0)
    return total - sample.durations.get(bound, total), total


def _compare_label(label: str, stable: Sample, canary: Sample, limits: Limits, z: float) -> Measure:
    old, new = (
        (side.labels.get(label, 0.0) * side.weight, sum(side.labels.values()) * side.weight)
        for side in (stable, canary)
    )
    return _compare(f"label {label}", old, new, limits.labels, limits, z, is_two_sided=True)


def _compare(
    name: str,
    stable: tuple[float, float],
    canary: tuple[float, float],
    tolerance: float,
    limits: Limits,
    z: float,
    *,
    is_two_sided: bool = False,
) -> Measure:
    """Compare two shares, each as (events, total); more is worse, or any change is."""
    for side, (_, total) in (("stable version", stable), ("canary", canary)):
        if total < limits.min_requests:
            why = f"{name}: {total:.0f} of {limits.min_requests} of the {side}"
            return _unknown(name, why)
    old, new = stable[0] / stable[1], canary[0] / canary[1]
    low, high = difference(stable, canary, z)
    finding: Finding = "cannot tell"
    if low > tolerance or (is_two_sided and high < -tolerance):
        finding = "worse"
    elif high < tolerance and (not is_two_sided or low > -tolerance):
        finding = "as good"
    why = f"{name}: {new:.2%} against {old:.2%}, {tolerance:.0%} more would be too many"
    if is_two_sided:
        why = f"{name}: {new:.2%} against {old:.2%}, {tolerance:.0%} apart would be too far"
    return Measure(name, finding, old, new, low, high, why)


def difference(
    stable: tuple[float, float], canary: tuple[float, float], z: float
) -> tuple[float, float]:
    """Newcombe's interval of the canary's share less the stable version's; each (events, total)."""
    old, new = stable[0] / stable[1], canary[0] / canary[1]
    old_low, old_high = _wilson(old, stable[1], z)
    new_low, new_high = _wilson(new, canary[1], z)
    between = new - old
    return (
        between - sqrt((new - new_low) ** 2 + (old_high - old) ** 2),
        between + sqrt((new_high - new) ** 2 + (old - old_low) ** 2),
    )


def _wilson(share: float, total: float, z: float) -> tuple[float, float]:
    middle = share + z * z / (2 * total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _compare_scores(
    bounds: Sequence[float], stable: Sample, canary: Sample, limits: Limits, level: float
) -> Measure:
    name = "scores"
    old, new = stable.scores.get(_INFINITE, 0.0), canary.scores.get(_INFINITE, 0.0)
    for side, total in (("stable version", old * stable.weight), ("canary", new * canary.weight)):
        if total < limits.min_requests:
            return _unknown(name, f"{name}: {total:.0f} of {limits.min_requests} of the {side}")
    distance = max(
        abs(canary.scores.get(bound, 0.0) / new - stable.scores[bound] / old) for bound in bounds
    )
    # The Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant, half the level a side.
    error = _massart(old * stable.weight, level / 2) + _massart(new * canary.weight, level / 2)
    low, high = max(0.0, distance - error), distance + error
    finding: Finding = "cannot tell"
    if low > limits.scores:
        finding = "worse"
    elif high < limits.scores:
        finding = "as good"
    why = f"{name}: {distance:.3f} apart (KS), {limits.scores:g} would be too far"
    return Measure(name, finding, 0.0, distance, low, high, why)


def _massart(total: float, level: float) -> float:
    return sqrt(log(2 / level) / (2 * total))


def _unknown(name: str, why: str) -> Measure:
    return Measure(name, "cannot tell", None, None, None, None, why)
