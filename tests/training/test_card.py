from __future__ import annotations

from dataclasses import replace

import numpy as np

from bentos.model.bundle import Decision
from bentos.training import card
from bentos.training.data import Dataset
from bentos.training.settings import SliceSettings
from bentos.training.tasks.evaluation import measure
from bentos.training.tasks.fairness import compare, measure_rates
from bentos.training.tasks.registry import pick
from tests.training.conftest import make_dataset


def make_facts(dataset: Dataset, slices: list[SliceSettings]) -> card.Facts:
    """Facts on a data set, with a feature for a score."""
    scores = np.asarray(dataset.features.iloc[:, -1].rank(pct=True), dtype=np.float64)
    metrics = measure(dataset.outcomes, scores, 0.5)
    return card.Facts(
        name="some-model",
        dataset=dataset,
        rows={"training": 10, "test": 5},
        metrics={"lightgbm": metrics, "random_forest": {**metrics, "roc_auc": 0.999}},
        served="lightgbm",
        decision=Decision(0.5, "By hand."),
        slices=compare(
            dataset.features,
            dataset.outcomes,
            scores,
            slices,
            lambda one, other: measure_rates(one, other, 0.5),
        ),
        parameters={"num_leaves": 7},
        versions={"lightgbm": "4.0"},
        settings_digest="abc",
    )


def test_card_has_every_section(reference: Dataset) -> None:
    """Use, data with licence, metrics, calibration, threshold, groups, limits, reproduction."""
    text = card.write(make_facts(reference, [SliceSettings("sex")]))
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Intended use",
        "Not intended",
        "Data",
        "Hold-out metrics",
        "Calibration",
        "Decision threshold",
        "Groups",
        "Limits",
        "How to reproduce",
    ]
    assert "Licence: CC BY 4.0." in text
    assert "10.24432/C55S3H" in text
    assert reference.digest in text
    assert "0.5. By hand." in text
    assert "num_leaves=7" in text
    assert card.NOT_STATED not in text


def test_better_rival_is_admitted(reference: Dataset) -> None:
    """Where another candidate scores higher the card says so, and by how much."""
    facts = make_facts(reference, [])
    assert "`random_forest` has a ROC-AUC higher by" in card.write(facts)
    alone = replace(facts, metrics={"lightgbm": facts.metrics["lightgbm"]})
    assert "`lightgbm` has the best ROC-AUC" in card.write(alone)


def test_groups_are_compared_in_words(reference: Dataset) -> None:
    """The widest gap in approval is named; groups too small to judge are named as such."""
    text = card.write(make_facts(reference, [SliceSettings("sex"), SliceSettings("age", [75.0])]))
    assert "| sex: female | 18,112 |" in text
    assert "percentage points apart" in text
    assert "`age`: too few rows to compare groups." in text
    assert "Too few rows to say much (under 100): age: 75 and over" in text


def test_rates_of_nobody_are_said_to_be_none() -> None:
    """A group with one class has no AUC; the table says so and does not fail."""
    dataset = make_dataset()
    dataset = replace(
        dataset, features=dataset.features.assign(same=(dataset.outcomes == 1).tolist())
    )
    assert "| none |" in card.write(make_facts(dataset, [SliceSettings("same")]))


def test_unknown_data_are_called_unknown() -> None:
    """Of a file without description the card claims nothing."""
    text = card.write(make_facts(make_dataset(), []))
    assert f"Origin and licence: {card.NOT_STATED}" in text
    assert text.count(card.NOT_STATED) == 4
    assert "nothing is known of groups" in text
    assert "`outcome` is `yes`" in text


def test_card_line_is_one_line(reference: Dataset) -> None:
    """Name, version, the main metrics and the threshold in one line."""
    metrics = make_facts(reference, []).metrics["lightgbm"]
    line = card.card_line("some-model", "3", pick("binary"), metrics, 0.21)
    assert line.startswith("some-model version 3: roc_auc 0.")
    assert "threshold 0.2100" in line
    assert "\n" not in line
