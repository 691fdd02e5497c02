"""Runs over a real log: each version against its own reference, each case with its outcome."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from bentos.model.contract import Contract, Feature
from bentos.records.opening import open_drift_log
from monitoring.drift import job
from monitoring.drift.decision.findings import Entry
from monitoring.drift.job import Compared
from monitoring.drift.settings import Settings
from tests.monitoring.conftest import NOW, QUICK, Written, make_frame, to_parquet, write_log


def run(log: Written, name: str = "run-1", **options: object) -> list[Compared]:
    settings = Settings(store=log.url, limits=QUICK)
    return job.work(replace(settings, **options), NOW, name)  # type: ignore[arg-type]  # its fields


def only(compared: list[Compared]) -> Entry:
    (item,) = compared
    return item.entry


def test_a_window_without_drift(log: Written) -> None:
    """The entry says what was compared with what, and by which seed."""
    log.add(make_frame(1_500, seed=3))
    entry = only(run(log, sample_rows=1_000))
    assert (entry.model, entry.version, entry.outcome) == ("credit", "v1", "no_drift")
    assert (entry.rows, entry.sampled, entry.distinct) == (1_500, 1_000, 1_000)
    assert entry.reference_rows == 4_000
    assert (entry.window.since, entry.window.until) == (NOW - timedelta(hours=24), NOW)
    assert (entry.seed, entry.run) == (1, "run-1")
    assert [feature.importance for feature in entry.features] == [0.6, 0.2, 0.15, 0.05]


def test_round_values_of_a_single_precision_feature_are_no_drift(tmp_path: Path) -> None:
    """Training holds float32's 0.1, the log the 0.1 that the client sent: the same value."""

    def make_rows(rows: int, seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        ratio = random.choice([0.1, 0.2, 0.3, 0.7], rows)
        return pd.DataFrame({"ratio": ratio, "__score__": random.random(rows)})

    contract = Contract(
        (Feature("ratio", "float", "float"),), "binary", "booster", classes=(0, 1), threshold=0.5
    )
    reference = to_parquet(make_rows(4_000, 1).astype({"ratio": np.float32}))
    log = write_log(f"sqlite:///{tmp_path}/single.db", contract, reference)
    log.add(make_rows(1_000, 2))
    entry = only(run(log))
    assert (entry.outcome, entry.reason) == ("no_drift", "")


def test_two_versions_are_compared_each_with_its_own_reference(log: Written) -> None:
    """The second version was trained on what the first one sees as drift."""
    moved = make_frame(4_000, seed=4)
    moved["income"] *= 1.5
    log.register("v2", reference=to_parquet(moved))
    log.add(moved.head(1_000), "v1")
    log.add(moved.tail(1_000), "v2")
    outcomes = {item.entry.version: item.entry.outcome for item in run(log)}
    assert outcomes == {"v1": "drift", "v2": "no_drift"}


def test_the_level_is_shared_out_between_versions(log: Written) -> None:
    """Two versions have half of it each; one of too few rows is not tested and takes nothing."""
    log.register("v2")
    log.add(make_frame(600, seed=3), "v1")
    log.add(make_frame(100, seed=4), "v2")
    assert {item.entry.alpha for item in run(log)} == {0.05}
    log.add(make_frame(600, seed=5), "v2")
    assert {item.entry.alpha for item in run(log)} == {0.025}


def test_a_rollback_takes_its_reference_with_it(log: Written) -> None:
    """Predictions of the older version are compared with the older reference, by themselves."""
    log.register("v2", reference=to_parquet(make_frame(4_000, seed=5).assign(income=1.0)))
    log.add(make_frame(1_000, seed=6), "v1")
    assert only(run(log)).outcome == "no_drift"


def test_an_empty_window_is_no_verdict(log: Written) -> None:
    """No predictions in the window: not "no drift", and no version to name."""
    log.add(make_frame(600, seed=3), end=NOW - timedelta(days=2))
    entry = only(run(log))
    assert (entry.model, entry.outcome) == (None, "insufficient_data")
    assert entry.reason == "no predictions in the window"


def test_few_predictions_are_no_verdict(log: Written) -> None:
    """The version is named, and so is how much is missing."""
    log.add(make_frame(100, seed=3))
    entry = only(run(log))
    assert (entry.version, entry.outcome, entry.rows) == ("v1", "insufficient_data", 100)
    assert entry.reason == "100 rows in the window, 500 are needed"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (to_parquet(make_frame(600, seed=1).rename(columns={"age": "years"})), "another contract"),
        (b"not Parquet", "the reference cannot be read"),
    ],
)
def test_a_reference_that_does_not_fit_fails(log: Written, reference: bytes, reason: str) -> None:
    """Another contract's reference, a broken one: failed, with the reason."""
    log.register("v2", reference=reference)
    log.add(make_frame(600, seed=3), "v2")
    entry = only(run(log))
    assert entry.outcome == "failed"
    assert reason in entry.reason


def test_predictions_under_another_contract_fail(log: Written) -> None:
    """The registered contract is not that of the predictions: nothing is compared by mistake."""
    log.register("v2", contract="another")
    log.add(make_frame(600, seed=3), "v2")
    assert only(run(log)).reason.startswith("predictions were made under another contract")


def test_a_version_with_nothing_to_compare_with_has_its_own_outcome(log: Written) -> None:
    """No reference, or not registered: neither drift, nor no drift, nor a failure."""
    log.register("v2", reference=None)
    log.add(make_frame(2, seed=3), "v2")
    log.add(make_frame(600, seed=3), "v3")
    log.add(make_frame(600, seed=4), "v1")
    found = {item.entry.version: item.entry for item in run(log)}
    assert {version: entry.outcome for version, entry in found.items()} == {
        "v1": "no_drift", "v2": "not_comparable", "v3": "not_comparable",
    }  # fmt: skip
    assert "the version has no reference" in found["v2"].reason
    assert "not registered" in found["v3"].reason


def test_one_version_that_fails_keeps_none_from_being_compared(log: Written) -> None:
    """The others have their outcome all the same."""
    log.register("v0", reference=b"damaged")
    log.add(make_frame(600, seed=3), "v0")
    log.add(make_frame(600, seed=4), "v1")
    assert [item.entry.outcome for item in run(log)] == ["failed", "no_drift"]


def test_outcomes_are_compared_with_training(log: Written) -> None:
    """What came by feedback is matched by id: labels at random are a loss of performance."""
    records = log.add(make_frame(1_000, seed=3))
    log.store.write_outcomes([(item.id, str(place % 2), "r") for place, item in enumerate(records)])
    entry = only(run(log))
    assert entry.performance is not None
    assert entry.performance.labels == 1_000
    assert entry.performance.training == {"roc_auc": 0.75, "brier": 0.2}
    assert entry.reason == "performance"


def test_results_are_written_and_read_back(log: Written) -> None:
    """One result a version and run, one row a feature; the state of before is known."""
    log.add(make_frame(600, seed=3))
    assert run(log, "run-1")[0].previous is None
    assert run(log, "run-2")[0].previous == "no_drift"
    (last, first) = open_drift_log(log.url).last("tabserve_drift", "credit", "v1", 5)
    assert {first.run, last.run} == {"run-1", "run-2"}
    assert first.outcome == "no_drift"
    assert [feature.feature for feature in first.features] == ["income", "age", "region", "owner"]
    assert first.seed == 1


def test_drift_day_after_day_asks_for_retraining(log: Written) -> None:
    """After as many windows as the rule says, with the reason in the result and in the store.

    Runs that could not tell come between, more of them than the rule counts; the same window
    run again adds nothing.
    """
    days = [NOW - timedelta(days=2), NOW - timedelta(days=1), NOW]
    for number, end in enumerate(days):
        log.add(make_frame(1_000, seed=3 + number).assign(income=1.0), end=end)
    unsure = replace(QUICK, min_rows=2_000)
    said = []
    for number, (until, limits) in enumerate(
        [
            (days[0], QUICK), *[(days[0], unsure)] * 3, (days[0], QUICK),
            *[(days[1], unsure)] * 3, (days[1], QUICK), *[(days[2], unsure)] * 3, (days[2], QUICK),
        ]
    ):  # fmt: skip
        settings = Settings(store=log.url, limits=limits, until=until)
        said.append(only(job.work(settings, NOW + timedelta(hours=number), f"run-{number:02}")))
    asked = [entry.retraining for entry in said if entry.outcome == "drift"]
    assert [ruling.runs for ruling in asked] == [1, 1, 2, 3]
    assert [ruling.needed for ruling in asked] == [False, False, False, True]
    reason = "features with 60% of the importance drifted, 3 of 3 windows in a row"
    assert asked[-1].reason == reason
    stored = open_drift_log(log.url).last("tabserve_drift", "credit", "v1", 20)
    assert [result.retraining for result in stored] == [reason, *[""] * 12]


def test_only_the_named_model_is_compared(log: Written) -> None:
    """A model that is not in the window is an empty window."""
    log.add(make_frame(600, seed=3))
    assert only(run(log, model="credit")).outcome == "no_drift"
    assert only(run(log, model="other")).outcome == "insufficient_data"


@pytest.mark.parametrize("url", ["sqlite:///{}/none.db", "postgresql://127.0.0.1:1/none", "none"])
def test_a_log_that_cannot_be_used_is_a_failed_run(tmp_path: Path, url: str) -> None:
    """Missing, down, or no log at all: an outcome with its reason, and no exception."""
    settings = Settings(store=url.format(tmp_path))
    entry = only(job.work(settings, NOW, "run-1"))
    assert (entry.outcome, entry.model) == ("failed", None)
    assert entry.reason


def test_a_store_that_breaks_midway_keeps_what_was_compared(log: Written) -> None:
    """The first result is stored, the second refused by the store itself: both are told."""
    log.register("v2")
    log.register("v3")
    for version in ("v1", "v2", "v3"):
        log.add(make_frame(600, seed=3), version)
    run(log, "run-1")
    with closing(sqlite3.connect(log.url[10:])) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON drift_runs WHEN NEW.version = 'v2' "
            "BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
    done = [item.entry for item in run(log, "run-2")]
    assert [(entry.version, entry.outcome) for entry in done] == [
        ("v1", "no_drift"),
        ("v2", "no_drift"),
        (None, "failed"),
    ]
    assert done[-1].reason.startswith("the result of credit v2 could not be stored: ")
    (last,) = open_drift_log(log.url).last("tabserve_drift", "credit", "v1", 1)
    assert last.run == "run-2"


def test_a_mistake_of_ours_is_a_failure(log: Written, contract: Contract) -> None:
    """A reference whose rows have no category at all breaks nothing else and is not silent."""
    frame = make_frame(600, seed=1)
    frame["income"] = "text"
    log.register("v2", reference=to_parquet(frame))
    log.add(make_frame(600, seed=3), "v2")
    entry = only(run(log))
    assert entry.outcome == "failed"
    assert "'income' has values that are no numbers" in entry.reason


def test_unseen_categories_come_through_the_log(log: Written) -> None:
    """What the service scored as missing, with its warning, is counted as unseen."""
    frame = make_frame(1_000, seed=3)
    frame.loc[:99, "region"] = "unseen"
    log.add(frame)
    entry = only(run(log))
    region = next(feature for feature in entry.features if feature.name == "region")
    assert "unseen_categories" in region.reasons
    assert region.outside_share == pytest.approx(0.1)
    assert region.missing_rate == 0.0


def test_the_json_holds_one_entry_a_version(log: Written) -> None:
    """Its names are those that others read."""
    log.add(make_frame(600, seed=3))
    entry = msgspec.json.decode(msgspec.json.encode(only(run(log))))
    assert {"model", "version", "outcome", "rows", "window", "score", "features"} <= entry.keys()
    assert entry["features"][0].keys() >= {
        "name", "kind", "test", "statistic", "p_value", "effect", "drifted", "missing_rate",
    }  # fmt: skip
