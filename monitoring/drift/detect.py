"""One window against one reference: every test, one verdict.

Pure: rows in, findings out. No I/O, no clock, no globals; the same rows and seed give the
same findings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitoring.drift import joint, labels, marginal, scores
from monitoring.drift.decide import StatisticError, decide
from monitoring.drift.findings import (
    Check,
    FeatureFinding,
    Findings,
    Outcome,
    ScoreFinding,
    count_uncompared,
)
from monitoring.drift.limits import SHARES, Limits
from monitoring.drift.sample import (
    Sample,
    count_distinct,
    find_threshold,
    kind_of,
    share_out,
    write_category,
)

if TYPE_CHECKING:
    from bentos.model.contract import Contract, Feature

_NOT_RECORDED = "not recorded: the log keeps no values of it"

# A text column may have a category for each row: the joint test takes the most frequent.
_MOST_COLUMNS = 30


def compare(
    reference: Sample,
    window: Sample,
    contract: Contract,
    *,
    limits: Limits,
    seed: int,
    importance: Mapping[str, float] | None = None,
    outcomes: Mapping[str, str] | None = None,
    training: Mapping[str, float] | None = None,
) -> Findings:
    """Compare a window with its reference.

    `importance`: gain by feature. `outcomes`: what turned out to be true, by the id of the
    prediction. `training`: metrics of training by name.
    Raises StatisticError where a test of features or scores gives no number. Outcomes that the
    model cannot have, or that cannot be right, are counted and left out of performance.
    """
    for side, rows in (("window", len(window)), ("reference", len(reference))):
        if rows < limits.min_rows:
            return Findings(
                outcome="insufficient_data",
                reason=f"{rows} rows in the {side}, {limits.min_rows} are needed",
                distinct=count_distinct(window),
            )
    features = _compare_features(reference, window, contract, limits, importance or {})
    together = _compare_jointly(reference, window, contract, limits, seed)
    scored = _compare_scores(reference, window, contract, limits)
    labelled = labels.compare(
        window, contract, outcomes or {}, training or {}, limits, seed, len(reference)
    )
    reasons = [
        *(f"{item.name} ({', '.join(item.reasons)})" for item in features if item.drifted),
        *(["features together (mmd)"] if together is not None and together.drifted else []),
        *(["scores"] if scored.drifted else []),
        *(["performance"] if labelled is not None and labelled.drifted else []),
    ]
    uncompared = count_uncompared(features)
    gaps = [
        *([f"{uncompared} of {len(features)} features not compared"] if uncompared else []),
        *([labelled.note] if labelled is not None and labelled.is_failed else []),
    ]
    quiet: Outcome = "insufficient_data" if uncompared == len(features) else "no_drift"
    return Findings(
        outcome="drift" if reasons else quiet,
        reason="; ".join([*reasons, *gaps]),
        features=features,
        joint=together,
        score=scored,
        performance=labelled,
        distinct=count_distinct(window),
    )


def _compare_features(
    reference: Sample,
    window: Sample,
    contract: Contract,
    limits: Limits,
    importance: Mapping[str, float],
) -> list[FeatureFinding]:
    found = [
        _check_feature(feature, reference.features, window, limits) for feature in contract.features
    ]
    # One family: false discoveries are controlled across features and their tests.
    decided = iter(
        decide([check for checks in found for check in checks], limits.alpha, SHARES["features"])
    )
    shares = share_out(importance, contract)
    return [
        _describe(feature, [next(decided) for _ in checks], reference, window, shares)
        for feature, checks in zip(contract.features, found, strict=True)
    ]


def _check_feature(
    feature: Feature, reference: pd.DataFrame, window: Sample, limits: Limits
) -> list[Check]:
    is_numeric = kind_of(feature) == "numeric"
    column = _recorded(window, feature.name)
    if column is None:
        return [Check("ks" if is_numeric else "chi_square", note=_NOT_RECORDED)]
    before, after = reference[feature.name].to_numpy(), column.to_numpy()
    try:
        if is_numeric:
            return marginal.compare_numbers(before, after, limits)
        return marginal.compare_categories(before, after, _categories(feature), limits)
    except ValueError as error:
        raise StatisticError(f"feature {feature.name!r} cannot be tested: {error}") from error


def _describe(
    feature: Feature,
    checks: list[Check],
    reference: Sample,
    window: Sample,
    shares: Mapping[str, float],
) -> FeatureFinding:
    first, *others = checks
    notes = [first.note] if first.note else []
    if feature.name in window.recorded:
        rows = int(window.recorded[feature.name].sum())
        notes.append(f"recorded in {rows:,} of {len(window):,} rows")
    column = _recorded(window, feature.name)
    return FeatureFinding(
        name=feature.name,
        kind=kind_of(feature),
        importance=shares[feature.name],
        test=first.name,
        statistic=first.statistic,
        p_value=first.p_value,
        effect=first.effect,
        drifted=any(check.drifted for check in checks),
        reasons=[check.name for check in checks if check.drifted],
        missing_rate=None if column is None else float(column.isna().mean()),
        reference_missing_rate=float(reference.features[feature.name].isna().mean()),
        outside_share=others[-1].statistic if others else None,
        note="; ".join(notes),
        checks=checks,
    )


def _compare_jointly(
    reference: Sample, window: Sample, contract: Contract, limits: Limits, seed: int
) -> Check | None:
    names = [name for name in contract.names if name in window.features]
    if not names:
        return None
    is_whole = np.ones(len(window), dtype=bool)
    for rows in window.recorded.values():
        is_whole &= rows
    if is_whole.sum() < limits.min_rows:
        note = f"{is_whole.sum()} rows have every recorded feature, {limits.min_rows} are needed"
        return Check("mmd", note=note)
    before, after = joint.encode(
        reference.features[names],
        window.features.loc[is_whole, names],
        {
            feature.name: _columns_of(feature, reference.features[feature.name])
            for feature in contract.features
            if kind_of(feature) == "categorical"
        },
    )
    check = joint.compare(before, after, limits, seed)
    return decide([check], limits.alpha, SHARES["joint"])[0]


def _compare_scores(
    reference: Sample, window: Sample, contract: Contract, limits: Limits
) -> ScoreFinding:
    threshold = find_threshold(contract) if contract.task == "binary" else None
    checks = decide(
        scores.compare(reference.scores, window.scores, threshold, limits),
        limits.alpha,
        SHARES["scores"],
    )
    return ScoreFinding(
        drifted=any(check.drifted for check in checks),
        checks=checks,
        means=_average(window.scores),
        reference_means=_average(reference.scores),
    )


def _average(scores: pd.DataFrame) -> dict[str, float]:
    # Divided first: the sum of large scores may be beyond float64.
    return {str(name): float((scores[name] / len(scores)).sum()) for name in scores.columns}


def _recorded(window: Sample, name: str) -> pd.Series | None:
    """The values of the rows that have the feature; None where it was never recorded."""
    column = window.features.get(name)
    if column is None or name not in window.recorded:
        return column
    return column[window.recorded[name]]


def _categories(feature: Feature) -> list[str] | None:
    if feature.kind == "boolean":
        return ["false", "true"]
    if feature.categories is None:
        return None
    return [str(write_category(category)) for category in feature.categories]


def _columns_of(feature: Feature, reference: pd.Series) -> list[str]:
    frequent = reference.value_counts().index[:_MOST_COLUMNS].tolist()
    return sorted(str(name) for name in frequent)
