"""`tabserve performance`: what it says of real models' answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn import metrics

from bentos.model.loading import LoadedModel
from bentos.records.record import Environment, Record
from tests.audit.logged import NOW, answer, make_id, run, store_of, succeed, write

Rows = list[dict[str, object]]


def label(log: Path, records: list[Record], truth: Callable[[Record, float], str]) -> list[str]:
    """Give each record an outcome that `truth` draws with a random number in [0, 1)."""
    random = np.random.default_rng(9)
    outcomes = [truth(record, random.random()) for record in records]
    store = store_of(log)
    store.write_outcomes(
        [(record.id, one, "feedback") for record, one in zip(records, outcomes, strict=True)]
    )
    store.close()
    return outcomes


def by_score(record: Record, chance: float) -> str:
    """An outcome that comes as often as the score says."""
    return str(int(chance < (record.score or 0.0)))


def report(*arguments: str) -> Any:
    """The report of one version as JSON."""
    (version,) = json.loads(succeed("performance", "--json", *arguments))["versions"]
    return version


@pytest.fixture
def binary(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """600 answers of the binary model, in the log."""
    records = answer(served["binary"], rows)
    write(log, served["binary"], records)
    return records


def test_binary(binary: list[Record], log: Path) -> None:
    """Numbers are scikit-learn's on the rows with outcomes, at the recorded threshold."""
    outcomes = label(log, binary[:400], by_score)
    found = report()
    assert (found["rows"], found["labelled"], found["thresholds"]) == (600, 400, [0.4])
    assert found["share_labelled"] == pytest.approx(2 / 3)
    assert found["score_class"] == "1"
    scores = [record.score for record in binary[:400]]
    truth = [int(outcome) for outcome in outcomes]
    decided = [int(record.label or "") for record in binary[:400]]
    figures = {name: figure["value"] for name, figure in found["measured"].items()}
    assert figures["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert figures["brier"] == pytest.approx(metrics.brier_score_loss(truth, scores))
    assert figures["precision"] == pytest.approx(metrics.precision_score(truth, decided))
    assert figures["recall"] == pytest.approx(metrics.recall_score(truth, decided))
    for name, figure in found["measured"].items():
        if name != "calibration_error":
            assert figure["low"] <= figure["value"] <= figure["high"], name
    assert sum(group["rows"] for group in found["calibration"]) == 400
    assert min(found["calibration_p_values"].values()) > 0.01
    on_labelled = found["estimated_on_labelled"]
    assert on_labelled["accuracy"] == pytest.approx(figures["accuracy"], abs=0.05)


def test_last_revision_counts(binary: list[Record], log: Path) -> None:
    """An outcome that was corrected counts as corrected, whenever it came."""
    label(log, binary, lambda record, _: "0" if record.label == "1" else "1")
    label(log, binary[::-1], lambda record, _: record.label or "")
    assert report()["measured"]["accuracy"]["value"] == 1.0


def test_miscalibrated(binary: list[Record], log: Path) -> None:
    """Outcomes that have nothing to do with the scores: the report says not to trust them."""
    label(log, binary, lambda _, chance: str(int(chance < 0.5)))
    assert any("do not trust the estimate" in note for note in report()["notes"])
    output = succeed("performance")
    assert "note: the scores are not calibrated" in output


def test_multiclass(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """A multiclass model is measured by accuracy, macro one-vs-rest AUC and log loss."""
    records = answer(served["multiclass"], rows)
    write(log, served["multiclass"], records)

    def draw(record: Record, chance: float) -> str:
        scores = record.scores or {}
        places = np.cumsum(list(scores.values()))
        return list(scores)[min(int(np.searchsorted(places, chance)), len(scores) - 1)]

    outcomes = label(log, records, draw)
    found = report()
    table = np.array([list((record.scores or {}).values()) for record in records])
    classes = list(records[0].scores or {})
    truth = [classes.index(outcome) for outcome in outcomes]
    decided = [record.label for record in records]
    figures = {name: figure["value"] for name, figure in found["measured"].items()}
    assert figures == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(outcomes, decided),
            "roc_auc": metrics.roc_auc_score(truth, table, multi_class="ovr"),
            "log_loss": metrics.log_loss(truth, table),
        }
    )
    assert found["estimated"]["accuracy"] == pytest.approx(figures["accuracy"], abs=0.05)
    assert min(found["calibration_p_values"].values()) > 0.01
    assert "log_loss" in succeed("performance")


def test_too_few_of_several_classes(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Each class needs its share of outcomes."""
    records = answer(served["multiclass"], rows)
    write(log, served["multiclass"], records)
    label(log, records, lambda *_: "high")
    assert report()["too_few"].startswith("0 rows turned out to be low")


def test_outcomes_that_are_no_number(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Text and infinity are no outcome of a regression."""
    records = answer(served["regression"], rows[:60])
    write(log, served["regression"], records)
    label(log, records, lambda _, chance: "much" if chance < 0.5 else "inf")
    found = report()
    assert found["labelled"] == 0
    assert "60 outcomes are no finite number, and count as unknown" in found["notes"]


def test_rows_of_another_shape(binary: list[Record], log: Path) -> None:
    """Rows whose score or label the contract does not have are counted, not measured."""
    changes: list[dict[str, str | None]] = [{"score": None}, {"label": "maybe"}, {"label": None}]
    wrong = [
        msgspec.structs.replace(binary[number], id=make_id(NOW, number), **change)
        for number, change in enumerate(changes)
    ]
    store = store_of(log)
    store.write(wrong, is_retry=False)
    store.close()
    found = report()
    assert found["rows"] == 600
    assert "3 rows have no score or label of this contract" in found["notes"]


def test_two_thresholds(binary: list[Record], log: Path) -> None:
    """Decisions are those that were answered, whatever the threshold was."""
    store = store_of(log)
    store.write(
        [msgspec.structs.replace(binary[0], id=make_id(NOW), threshold=0.7)], is_retry=False
    )
    store.close()
    found = report()
    assert found["thresholds"] == [0.4, 0.7]
    assert any("more than one threshold" in note for note in found["notes"])


def test_nothing_was_flagged(binary: list[Record], log: Path) -> None:
    """Precision of a model that flags nobody is undefined, not zero."""
    store = store_of(log)
    none = [
        msgspec.structs.replace(record, id=make_id(NOW, number), version="v2", label="0")
        for number, record in enumerate(binary)
    ]
    registration = store.registration(binary[0].model, binary[0].version)
    assert registration is not None
    store.register(
        msgspec.structs.replace(registration, version="v2"), Environment("e", msgspec.Raw(b"{}"))
    )
    store.write(none, is_retry=False)
    store.close()
    label(log, none, by_score)
    arguments = ("--version", "v2")
    assert report(*arguments)["measured"]["precision"] == {"value": None, "low": None, "high": None}
    assert "precision          undefined" in succeed("performance", *arguments)


def test_regression(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """A regression is measured by MAE, RMSE and R2, and has no estimate."""
    records = answer(served["regression"], rows)
    write(log, served["regression"], records)
    outcomes = label(log, records, lambda record, chance: repr((record.score or 0.0) + chance))
    found = report()
    truth, values = [float(outcome) for outcome in outcomes], [one.score for one in records]
    assert {name: figure["value"] for name, figure in found["measured"].items()} == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(truth, values),
            "rmse": metrics.root_mean_squared_error(truth, values),
            "r2": metrics.r2_score(truth, values),
        }
    )
    assert found["estimated"] == {}


def test_too_few(binary: list[Record], log: Path) -> None:
    """Few outcomes, or one class alone, are words instead of numbers; the estimate stays."""
    label(log, binary[:20], by_score)
    found = report()
    assert found["too_few"].startswith("20 rows with an outcome")
    assert (found["measured"], found["calibration"]) == ({}, [])
    assert found["estimated"]["roc_auc"] > 0.5
    label(log, binary[:200], lambda *_: "1")
    assert report()["too_few"].startswith("0 rows turned out to be 0")
    assert "too few outcomes to measure" in succeed("performance")


def test_outcomes_that_are_no_class(binary: list[Record], log: Path) -> None:
    """An outcome that the contract does not know counts as unknown, and is counted."""
    label(log, binary[:100], lambda *_: "maybe")
    found = report()
    assert found["labelled"] == 0
    assert "100 outcomes are no class of the contract, and count as unknown" in found["notes"]


def test_no_outcome_at_all(binary: list[Record]) -> None:
    """Without any outcome there is still the estimate, with what it assumes."""
    output = succeed("performance")
    assert "600 rows, 0 with an outcome (0.0%)" in output
    assert "the estimate (CBPE) assumes:" in output
    assert "no concept drift" in output


def test_versions_apart(
    binary: list[Record], log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Each model version is judged alone; --model takes one."""
    write(
        log,
        served["booster"],
        answer(served["booster"], rows[:60], start=NOW - timedelta(minutes=10)),
    )
    document = json.loads(succeed("performance", "--json"))
    assert [version["rows"] for version in document["versions"]] == [600, 60]
    assert report("--model", binary[0].model)["rows"] == 600
    assert succeed("performance", "--since", "1s") == "the log has no prediction in this window\n"


def test_never_registered(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Rows of a version that nobody registered are counted, not judged."""
    store = store_of(log)
    store.write(answer(served["binary"], rows[:5]), is_retry=False)
    store.close()
    assert "5 rows, but it was never registered" in succeed("performance")


def test_resamples(binary: list[Record], log: Path) -> None:
    """The number of resamples is said, and can be chosen."""
    label(log, binary, by_score)
    assert "percentile bootstrap of 100 resamples" in succeed("performance", "--resamples", "100")
    assert run("performance", "--resamples", "1").exit_code == 2
