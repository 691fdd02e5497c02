"""What was found, in words for people: names of tests, changes, verdicts, what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.drift.decision.findings import Check, CheckName, Entry, FeatureFinding
from monitoring.drift.decision.sample import Sample, find_recorded
from monitoring.drift.report.bins import write_number

OUTCOMES = {
    "drift": "Drift",
    "no_drift": "No drift",
    "insufficient_data": "Not enough data to tell",
    "not_comparable": "Nothing to compare with",
    "failed": "Could not be compared",
}

_CHECKS: dict[CheckName, str] = {
    "ks": "distribution",
    "chi_square": "shares of the categories",
    "level_share": "share of one category",
    "missing_rate": "missing values",
    "unseen_categories": "categories unknown to training",
    "out_of_range": "values out of the reference's range",
    "mmd": "all features together",
    "score_ks": "distribution of the score",
    "score_psi": "stability index of the score (PSI)",
    "decision_rate": "share of decisions",
    "decision_chi_square": "shares of the decisions",
    "roc_auc": "area under the ROC curve",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
}

# Names in one sentence: more are counted.
_NAMED = 5


def name_check(check: Check) -> str:
    """What a check looks at, and of which class or category."""
    return _CHECKS[check.name] + (f" of {check.of}" if check.of else "")


def describe_reason(entry: Entry) -> str:
    """The reason of an outcome, with the tests by their names for people."""
    reason = entry.reason
    for feature in entry.features:
        if feature.drifted:
            code = f"{feature.name} ({', '.join(feature.reasons)})"
            names = ", ".join(_CHECKS[name] for name in feature.reasons)
            reason = reason.replace(code, f"{feature.name} ({names})", 1)
    return reason.replace("features together (mmd, ", "all features together (").replace(
        "features together (mmd)", "all features together"
    )


def describe_verdict(feature: FeatureFinding) -> str:
    """The verdict on one feature."""
    if feature.is_ignored:
        return "left out"
    if feature.drifted:
        what = ", ".join(_CHECKS[name] for name in feature.reasons)
        return f"drift: {what}" + ("" if feature.carries else "; too little importance to count")
    return "not compared" if feature.statistic is None else "no drift"


def describe_change(
    feature: FeatureFinding, reference: Sample | None, window: Sample | None
) -> list[str]:
    """What changed in one feature, a sentence each; of a drifted feature only."""
    if not feature.drifted:
        return []
    said = []
    for level in feature.levels:
        said.append(
            f"“{level.name}”: {level.reference:.1%} → {level.window:.1%} of the values "
            f"({_write_points(level.window - level.reference)})"
        )
    if "ks" in feature.reasons and reference is not None and window is not None:
        sides = [find_recorded(side, feature.name) for side in (reference, window)]
        texts = [
            # A value that there is: between two of the largest, the mean is beyond float64.
            [write_number(side.quantile(share, "nearest")) for share in (0.25, 0.5, 0.75)]
            for side in sides
            if side is not None
        ]
        if len(texts) == 2:
            (low, middle, high), (low_now, middle_now, high_now) = texts
            said.append(f"middle value {middle} → {middle_now}")
            said.append(f"middle half {low} to {high} → {low_now} to {high_now}")
    if "missing_rate" in feature.reasons and feature.missing_rate is not None:
        before = feature.reference_missing_rate
        said.append(
            f"missing in {before:.1%} → {feature.missing_rate:.1%} of the rows "
            f"({_write_points(feature.missing_rate - before)})"
        )
    outside = {"unseen_categories", "out_of_range"}.intersection(feature.reasons)
    if outside and feature.outside_share is not None:
        what = "are unknown to training" if "unseen_categories" in outside else "are out of range"
        said.append(f"{feature.outside_share:.1%} of the values {what}")
    return said


def list_next_steps(entry: Entry) -> list[str]:
    """What a person does next, the most urgent first."""
    if entry.outcome != "drift":
        return _QUIET_STEPS[entry.outcome]
    drifted = [item for item in entry.features if item.drifted and item.carries]
    steps = [
        f"Check {text}: {_join(names)}."
        for text, names in (
            ("where the values come from, more or fewer are missing", _of(drifted, "missing_rate")),
            (
                "for a new code, unit or format, values are unknown to training",
                _of(drifted, "unseen_categories", "out_of_range"),
            ),
            (
                "whether the population changed, or how it is measured",
                _of(drifted, "ks", "chi_square", "level_share"),
            ),
        )
        if names
    ]
    if entry.joint is not None and entry.joint.drifted and not drifted:
        names = [part.feature for part in entry.parts[:2]]
        steps.append(
            f"No single feature shows it: look at how features go together, first {_join(names)}."
            if names
            else "No single feature shows it: look at how features go together."
        )
    is_worse = entry.performance is not None and entry.performance.drifted
    if is_worse:
        steps.append("The model is worse on labelled rows: train it anew on recent ones.")
    elif entry.score is not None and entry.score.drifted:
        steps.append("The scores moved: look at the decisions before they are acted on.")
    elif entry.score is not None:
        steps.append("The scores did not move: there is time to find the cause.")
    if entry.performance is None:
        steps.append("Send outcomes (POST /v1/feedback): they show whether the model is worse.")
    if entry.reference == "training":
        steps.append(
            "If this is a season, compare with the same weekdays of the weeks before: "
            "--reference weeks:4."
        )
    if entry.retraining.needed:
        steps.insert(0, "Train the model anew: the drift lasts.")
    return steps


_QUIET_STEPS = {
    "no_drift": [],
    "insufficient_data": ["Take a longer window (--window), or wait for more predictions."],
    "not_comparable": [
        "Log the model with a reference.parquet and import it again, or compare with a part of "
        "the log: --reference weeks:4."
    ],
    "failed": ["Mend what the reason names, and run the job again: this window has no verdict."],
}


def _of(features: Sequence[FeatureFinding], *names: CheckName) -> list[str]:
    return [item.name for item in features if set(names).intersection(item.reasons)]


def _join(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _write_points(change: float) -> str:
    return f"{100 * change:+.1f} percentage points"
