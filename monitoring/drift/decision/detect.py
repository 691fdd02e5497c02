"""One window against one reference: every test, one verdict.

Pure: rows in, findings out. No I/O, no clock, no globals; the same rows and seed give the
same findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.drift.decision import joint, labels, scores
from monitoring.drift.decision.decide import decide
from monitoring.drift.decision.features import compare_features
from monitoring.drift.decision.findings import (
    Check,
    FeatureFinding,
    Findings,
    Outcome,
    Part,
    Performance,
    ScoreFinding,
    count_uncompared,
)
from monitoring.drift.decision.limits import SHARES, Limits
from monitoring.drift.decision.sample import Sample, find_threshold, kind_of

if TYPE_CHECKING:
    from bentos.model.contract import Contract

# A text column may have a category for each row: the joint test takes the most frequent.
_MOST_COLUMNS = 30

# Features that the reason names of those that the joint test leans on: each with at least this
# share of the discrepancy.
_NAMED, _LEAST_SHARE = 3, 0.2


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
            )
    features = compare_features(reference, window, contract, limits, importance or {})
    together, parts = _compare_jointly(reference, window, contract, limits, seed)
    scored = _compare_scores(reference, window, contract, limits)
    labelled = labels.compare(
        window, contract, outcomes or {}, training or {}, limits, seed, len(reference)
    )
    reasons = [
        *(
            f"{item.name} ({', '.join(item.reasons)})"
            for item in features
            if item.drifted and item.carries
        ),
        *([_name_parts(parts)] if together is not None and together.drifted else []),
        *(["scores"] if scored.drifted else []),
        *(["performance"] if labelled is not None and labelled.drifted else []),
    ]
    return Findings(
        outcome="drift" if reasons else _find_quiet_outcome(features),
        reason="; ".join([*reasons, *_list_gaps(features, labelled)]),
        features=features,
        joint=together,
        parts=parts,
        score=scored,
        performance=labelled,
    )


def _find_quiet_outcome(features: Sequence[FeatureFinding]) -> Outcome:
    """What no drift means: little, where no feature was compared that should have been."""
    asked = sum(not item.is_ignored for item in features)
    return "insufficient_data" if asked and count_uncompared(features) == asked else "no_drift"


def _list_gaps(features: Sequence[FeatureFinding], labelled: Performance | None) -> list[str]:
    """What the verdict does not cover."""
    uncompared = count_uncompared(features)
    minor = [item.name for item in features if item.drifted and not item.carries]
    return [
        *([f"{uncompared} of {len(features)} features not compared"] if uncompared else []),
        *([f"too little importance to count: {', '.join(minor)}"] if minor else []),
        *([labelled.note] if labelled is not None and labelled.is_failed else []),
    ]


def _name_parts(parts: Sequence[Part]) -> str:
    names = [part.feature for part in parts[:_NAMED] if part.share >= _LEAST_SHARE]
    return f"features together (mmd{', most in ' if names else ''}{' and '.join(names)})"


def _compare_jointly(
    reference: Sample, window: Sample, contract: Contract, limits: Limits, seed: int
) -> tuple[Check | None, list[Part]]:
    names = [
        name
        for name in contract.names
        if name in window.features and name in reference.features and name not in limits.ignore
    ]
    if not names:
        return None, []
    whole = [_find_whole(side, names) for side in (reference, window)]
    rows = min(int(side.sum()) for side in whole)
    if rows < limits.min_rows:
        note = f"{rows} rows have every recorded feature, {limits.min_rows} are needed"
        return Check("mmd", min_effect=limits.min_mmd, note=note), []
    before, after, owners = joint.encode(
        reference.features.loc[whole[0], names],
        window.features.loc[whole[1], names],
        {
            feature.name: _columns_of(reference.features[feature.name])
            for feature in contract.features
            if feature.name in names and kind_of(feature) == "categorical"
        },
    )
    check = joint.compare(before, after, limits, seed)
    (check,) = decide([check], limits.alpha, SHARES["joint"])
    parts = joint.attribute(before, after, owners, limits, seed) if check.drifted else []
    return check, parts


def _find_whole(sample: Sample, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows have each of the features, missing values included."""
    is_whole = np.ones(len(sample), dtype=bool)
    for name in names:
        if name in sample.recorded:
            is_whole &= sample.recorded[name]
    return is_whole


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


def _columns_of(reference: pd.Series) -> list[str]:
    frequent = reference.value_counts().index[:_MOST_COLUMNS].tolist()
    return sorted(str(name) for name in frequent)
