"""What Prometheus sees: every metric of the job, and how it gets to the Pushgateway.

Two kinds of groups, both stable, as a Pushgateway never forgets one by itself:

- `{job, model}`: the results, replaced as a whole (PUT), so that a version or a feature that
  is no more goes away;
- `{job}`: the state of the run, written even where it failed (POST), so that the time of the
  last success stays while runs fail.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway, pushadd_to_gateway

from monitoring.drift.decision.findings import OUTCOMES, Check, Entry, Outcome, count_uncompared
from monitoring.drift.publishing import exchange

_VERSION = ("version",)
_FEATURE = ("version", "feature")
_CHECK = ("version", "check", "class")

# What a comparison says; the other outcomes mean that there was none.
_COMPARED: tuple[Outcome, ...] = ("drift", "no_drift")

# Name: labels and help. All are gauges, in base units; `model` and `job` come from the group.
RESULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "tabserve_drift_outcome": (
        ("version", "outcome"),
        "1 for what the last run said of a version, 0 for the other outcomes.",
    ),
    "tabserve_drift_compared_timestamp_seconds": (
        _VERSION,
        "When these results of a version were compared; none where it could not be.",
    ),
    "tabserve_drift_rows": (_VERSION, "Predictions in the window."),
    "tabserve_drift_sampled_rows": (_VERSION, "Predictions that were read, a sample of these."),
    "tabserve_drift_distinct_rows": (
        _VERSION,
        "Predictions of the sample that differ in their features or scores.",
    ),
    "tabserve_drift_reference_rows": (_VERSION, "Rows of the reference."),
    "tabserve_drift_features_not_compared": (
        _VERSION,
        "Features whose distribution was not compared: not recorded, or too few values.",
    ),
    "tabserve_drift_alpha": (
        _VERSION,
        "Level of this version: an adjusted p-value at or below it is unlikely by chance.",
    ),
    "tabserve_drift_window_start_timestamp_seconds": (_VERSION, "Start of the window."),
    "tabserve_drift_window_end_timestamp_seconds": (_VERSION, "End of the window."),
    "tabserve_drift_feature_drifted": (_FEATURE, "1 where a feature drifted, by any test."),
    "tabserve_drift_feature_statistic": (
        _FEATURE,
        "Statistic of a feature's distribution: KS distance, or chi-square.",
    ),
    "tabserve_drift_feature_p_value": (_FEATURE, "Its p-value, of this test alone."),
    "tabserve_drift_feature_adjusted_p_value": (
        _FEATURE,
        "The same after false-discovery control, to be compared with the level.",
    ),
    "tabserve_drift_feature_effect": (
        _FEATURE,
        "Size of a feature's change, 0 to 1: KS distance, or Cramér's V.",
    ),
    "tabserve_drift_feature_effect_limit": (_FEATURE, "The least such effect that is drift."),
    "tabserve_drift_feature_missing_ratio": (_FEATURE, "Rows without a value."),
    "tabserve_drift_feature_outside_ratio": (
        _FEATURE,
        "Values out of the reference's range, or of a category that training never saw.",
    ),
    "tabserve_drift_feature_importance_ratio": (_FEATURE, "Share of the model's importance."),
    "tabserve_drift_check_drifted": (
        _CHECK,
        "1 where scores, performance or all features together drifted, by check.",
    ),
    "tabserve_drift_check_statistic": (_CHECK, "Statistic of such a check."),
    "tabserve_drift_check_p_value": (_CHECK, "Its p-value, of this check alone."),
    "tabserve_drift_check_adjusted_p_value": (
        _CHECK,
        "The same after false-discovery control, to be compared with the level.",
    ),
    "tabserve_drift_check_effect": (_CHECK, "Its effect size."),
    "tabserve_drift_check_effect_limit": (_CHECK, "The least such effect that is drift."),
    "tabserve_drift_performance": (
        ("version", "measure", "basis"),
        "A measure of performance: measured by outcomes of the window, or of training.",
    ),
    "tabserve_drift_retraining_needed": (_VERSION, "1 where the rule for retraining holds."),
}

RUN: dict[str, tuple[tuple[str, ...], str]] = {
    "tabserve_drift_run_outcome": (
        ("outcome",),
        "1 for the outcome of the last run over all versions, 0 for the others.",
    ),
    "tabserve_drift_run_versions": (("outcome",), "Versions of the last run, by outcome."),
    "tabserve_drift_run_timestamp_seconds": ((), "When the last run ended."),
    "tabserve_drift_run_duration_seconds": ((), "How long the last run took."),
    "tabserve_drift_run_last_success_timestamp_seconds": (
        (),
        "When a run last compared a version, and failed for none.",
    ),
}


@dataclass(frozen=True)
class Run:
    """A whole run. `ended`: seconds since 1970; `duration_seconds` includes the imports."""

    outcome: Outcome
    versions: tuple[Outcome, ...]
    ended: float
    duration_seconds: float

    @property
    def is_success(self) -> bool:
        """Whether a version was compared, and the comparison of none failed.

        A version without a reference, or with too few rows, does not make the others void.
        """
        is_failed = "failed" in (self.outcome, *self.versions)
        return not is_failed and any(outcome in _COMPARED for outcome in self.versions)


def summarise(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for all versions: the one that most asks for a person."""
    worst: tuple[Outcome, ...] = ("failed", "drift", "not_comparable", "insufficient_data")
    return next((outcome for outcome in worst if outcome in outcomes), "no_drift")


def push_results(
    gateway: str,
    job: str,
    model: str,
    entries: Sequence[Entry],
    ended: float,
    timeout_seconds: float,
) -> None:
    """Replace the results of one model. `ended`: seconds since 1970. Raises NotTaken."""
    url, handler = _reach(gateway)
    push_to_gateway(
        url,
        job,
        collect_results(entries, ended),
        grouping_key={"model": model},
        timeout=timeout_seconds,
        handler=handler,
    )


def push_run(gateway: str, job: str, run: Run, timeout_seconds: float) -> None:
    """Write the state of the run. Raises NotTaken."""
    url, handler = _reach(gateway)
    pushadd_to_gateway(url, job, collect_run(run), timeout=timeout_seconds, handler=handler)


def collect_results(entries: Sequence[Entry], ended: float) -> CollectorRegistry:
    """The metrics of one model's versions."""
    registry, gauges = _make(RESULTS)
    for entry in entries:
        version = str(entry.version)

        def set_value(name: str, value: float, version: str = version) -> None:
            gauges[f"tabserve_drift_{name}"].labels(version).set(value)

        for outcome in OUTCOMES:
            gauges["tabserve_drift_outcome"].labels(version, outcome).set(outcome == entry.outcome)
        if entry.outcome in _COMPARED:
            set_value("compared_timestamp_seconds", ended)
        set_value("rows", entry.rows)
        set_value("sampled_rows", entry.sampled)
        set_value("distinct_rows", entry.distinct)
        set_value("reference_rows", entry.reference_rows)
        set_value("alpha", entry.alpha)
        if entry.features:
            set_value("features_not_compared", count_uncompared(entry.features))
        set_value("window_start_timestamp_seconds", entry.window.since.timestamp())
        set_value("window_end_timestamp_seconds", entry.window.until.timestamp())
        set_value("retraining_needed", entry.retraining.needed)
        for feature in entry.features:
            for name, value in (
                ("drifted", float(feature.drifted)),
                ("statistic", feature.statistic),
                ("p_value", feature.p_value),
                ("adjusted_p_value", feature.checks[0].adjusted if feature.checks else None),
                ("effect", feature.effect),
                ("effect_limit", feature.checks[0].min_effect if feature.checks else None),
                ("missing_ratio", feature.missing_rate),
                ("outside_ratio", feature.outside_share),
                ("importance_ratio", feature.importance),
            ):
                # What could not be measured has no sample: 0 would be a value.
                if value is not None:
                    gauge = gauges[f"tabserve_drift_feature_{name}"]
                    gauge.labels(version, feature.name).set(value)
        for measure, basis, value in _performance(entry):
            gauges["tabserve_drift_performance"].labels(version, measure, basis).set(value)
        for check in _checks(entry):
            for name, value in (
                ("drifted", float(check.drifted)),
                ("statistic", check.statistic),
                ("p_value", check.p_value),
                ("adjusted_p_value", check.adjusted),
                ("effect", check.effect),
                ("effect_limit", check.min_effect),
            ):
                if value is not None:
                    gauge = gauges[f"tabserve_drift_check_{name}"]
                    gauge.labels(version, check.name, check.of).set(value)
    return registry


def collect_run(run: Run) -> CollectorRegistry:
    """The metrics of the run; the last success only where it is one."""
    registry, gauges = _make(
        {name: shape for name, shape in RUN.items() if run.is_success or "success" not in name}
    )
    for outcome in OUTCOMES:
        gauges["tabserve_drift_run_outcome"].labels(outcome).set(outcome == run.outcome)
        gauges["tabserve_drift_run_versions"].labels(outcome).set(run.versions.count(outcome))
    gauges["tabserve_drift_run_timestamp_seconds"].set(run.ended)
    gauges["tabserve_drift_run_duration_seconds"].set(run.duration_seconds)
    if run.is_success:
        gauges["tabserve_drift_run_last_success_timestamp_seconds"].set(run.ended)
    return registry


def _make(
    shapes: dict[str, tuple[tuple[str, ...], str]],
) -> tuple[CollectorRegistry, dict[str, Gauge]]:
    registry = CollectorRegistry()
    return registry, {
        name: Gauge(name, about, labels, registry=registry)
        for name, (labels, about) in shapes.items()
    }


def _checks(entry: Entry) -> list[Check]:
    checks = [] if entry.score is None else list(entry.score.checks)
    if entry.joint is not None:
        checks.append(entry.joint)
    if entry.performance is not None:
        checks += entry.performance.checks
    return checks


def _performance(entry: Entry) -> Iterator[tuple[str, str, float]]:
    if entry.performance is None:
        return
    for check in entry.performance.checks:
        if check.statistic is not None:
            yield check.name, "measured", check.statistic
    for name, value in entry.performance.training.items():
        yield name, "training", value


def _reach(gateway: str) -> tuple[str, Callable[..., Callable[[], None]]]:
    """The URL without its user and password, and what sends to it: with them, as a header."""
    parts = urlsplit(gateway)
    netloc = parts.netloc.rpartition("@")[2]
    extra: list[tuple[str, str]] = []
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        extra.append(("Authorization", f"Basic {b64encode(pair.encode()).decode()}"))

    def handle(
        url: str, method: str, timeout: float, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        return lambda: exchange.send(url, method, dict(headers + extra), data, timeout)

    return parts._replace(netloc=netloc).geturl(), handle
