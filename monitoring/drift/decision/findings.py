"""What a comparison found, as plain data: the shapes of the JSON report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

Outcome = Literal["drift", "no_drift", "insufficient_data", "not_comparable", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

# How each check is read: closed, as it becomes a label of metrics.
CheckName = Literal[
    "ks",
    "chi_square",
    "level_share",
    "missing_rate",
    "unseen_categories",
    "out_of_range",
    "mmd",
    "score_ks",
    "score_psi",
    "decision_rate",
    "decision_chi_square",
    "roc_auc",
    "brier",
    "accuracy",
    "log_loss",
    "mae",
    "rmse",
]


class Check(msgspec.Struct, frozen=True):
    """One test.

    `statistic`, `effect`: in the unit of the test (see `monitoring/README.md`). `p_value`:
    of this test alone. `adjusted`: the p-value after false-discovery control, to be compared
    with the level of the run. `threshold`: the effect that sampling alone reaches with the
    probability of that level, where a formula gives it. `of`: the class, where a check is
    made for each, or the level of a category that moved the most. `note`: why there is no
    statistic.
    """

    name: CheckName
    statistic: float | None = None
    p_value: float | None = None
    effect: float | None = None
    min_effect: float = 0.0
    adjusted: float | None = None
    threshold: float | None = None
    drifted: bool = False
    of: str = ""
    note: str = ""


class Level(msgspec.Struct, frozen=True):
    """One level of a category: its shares, in [0, 1], and the residual of their difference.

    `residual`: standardized, so about standard normal for a level that did not move.
    """

    name: str
    reference: float
    window: float
    residual: float


class Part(msgspec.Struct, frozen=True):
    """A feature, and the share of the joint discrepancy that goes without it, in [0, 1]."""

    feature: str
    share: float


class FeatureFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One feature.

    `test`, `statistic`, `p_value`, `effect` are of the comparison of its distribution;
    `drifted` and `reasons` are of all its checks. `importance`: its share of the model's
    gain, in [0, 1]; `carries`: whether that is enough for its drift to be drift of the version.
    `is_ignored`: the settings leave it out. Rates are shares of rows, in [0, 1]. `levels`: of a
    category, those that moved beyond chance, the largest residual first.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    importance: float
    test: CheckName
    statistic: float | None
    p_value: float | None
    effect: float | None
    drifted: bool
    reasons: list[CheckName]
    missing_rate: float | None
    reference_missing_rate: float
    outside_share: float | None
    note: str
    checks: list[Check]
    levels: list[Level] = []
    carries: bool = True
    is_ignored: bool = False


def count_uncompared(features: Sequence[FeatureFinding]) -> int:
    """Features whose distribution was not compared: not recorded, or too few values present.

    Those that the settings leave out are not among them.
    """
    return sum(feature.statistic is None and not feature.is_ignored for feature in features)


class Span(msgspec.Struct, frozen=True):
    """A window of time: from `since` on, before `until`, UTC."""

    since: datetime
    until: datetime


class ScoreFinding(msgspec.Struct, frozen=True):
    """The scores: all checks, and the mean of each side by class (`""` for a single score)."""

    drifted: bool
    checks: list[Check]
    means: dict[str, float]
    reference_means: dict[str, float]


class Performance(msgspec.Struct, frozen=True):
    """What the labels say: each metric now (`statistic`) beside its training value.

    `labels`: those that were used. `is_failed`: more than half were not, or a metric gave no
    number.
    """

    drifted: bool
    labels: int
    checks: list[Check]
    training: dict[str, float]
    note: str = ""
    is_failed: bool = False


class Retraining(msgspec.Struct, frozen=True):
    """Whether the rule for retraining holds.

    `signal`: this run's part of it. `runs`: so many windows in a row that hardly overlap had it,
    this one included, and no further than the rule needs.
    """

    needed: bool = False
    signal: bool = False
    runs: int = 0
    reason: str = ""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What `detect.compare` found of one sample against one reference.

    `parts`: where the joint test found drift, the features that it leans on, the most first.
    """

    outcome: Outcome
    reason: str
    features: list[FeatureFinding] = []
    joint: Check | None = None
    parts: list[Part] = []
    score: ScoreFinding | None = None
    performance: Performance | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model version in one run: an entry of the JSON report.

    `rows`: predictions in the window; `sampled`: how many of them were read, picked with
    `seed`; `distinct`: how many of these differ in their recorded features or scores; `tested`:
    how many were compared, without those that a client sent again. `reference`: what they were
    compared with. `alpha`: the level of this version, its part of the run's. `warnings`: what a
    reader of the verdict should know, one line each. `model` and `version` are None where the
    window, or the run, had none to name.
    """

    model: str | None
    version: str | None
    outcome: Outcome
    reason: str
    rows: int
    sampled: int
    distinct: int
    tested: int
    reference: str
    reference_rows: int
    window: Span
    run: str
    seed: int
    alpha: float
    score: ScoreFinding | None = None
    joint: Check | None = None
    parts: list[Part] = []
    performance: Performance | None = None
    warnings: list[str] = []
    retraining: Retraining = Retraining()
    features: list[FeatureFinding] = []


def make_writable(entry: Entry) -> Entry:
    """The same entry with every text as UTF-8 can hold it: names may have lone surrogates."""
    return msgspec.convert(_mend(msgspec.to_builtins(entry)), Entry)


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_mend(name): _mend(item) for name, item in value.items()}
    return [_mend(item) for item in value] if isinstance(value, list) else value


def dump(entries: list[Entry]) -> bytes:
    """Write entries as JSON."""
    return msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n"
