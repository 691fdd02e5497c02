from __future__ import annotations

import numpy as np
from lightgbm import LGBMClassifier

from bentos.training.importance import draw_page, rank
from tests.training.conftest import make_dataset


def test_contributions_are_those_of_the_raw_score() -> None:
    """TreeSHAP adds up to the raw score, so its mean is in log-odds; every feature is ranked."""
    dataset = make_dataset()
    model = LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=2, random_state=1)
    model.fit(dataset.features, dataset.labels)
    ranked = rank(model, dataset.features)
    assert set(ranked["feature"]) == set(dataset.features.columns)
    assert np.isclose(ranked["gain_share"].sum(), 1.0)
    assert (np.diff(ranked["mean_contribution"]) <= 0).all()
    # The outcome hangs on these two; the others are noise or nearly so.
    assert set(ranked["feature"].head(2)) == {"first", "second"}
    contributions = np.asarray(model.booster_.predict(dataset.features, pred_contrib=True))
    raw = model.booster_.predict(dataset.features, raw_score=True)
    assert np.allclose(contributions.sum(axis=1), raw)


def test_a_model_without_splits_has_no_gain() -> None:
    """Nothing is divided by zero where no tree could split."""
    dataset = make_dataset(120)
    model = LGBMClassifier(n_estimators=1, min_child_samples=1000, verbose=-1, n_jobs=2)
    model.fit(dataset.features, dataset.labels)
    ranked = rank(model, dataset.features)
    assert ranked["gain_share"].tolist() == [0.0] * len(ranked)


def test_the_page_is_of_the_same_numbers() -> None:
    """The page of a training shows each feature, with the importance that the ranking has."""
    dataset = make_dataset()
    model = LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=2, random_state=1)
    model.fit(dataset.features, dataset.labels)
    text = draw_page(model, dataset.features, "model", "log-odds")
    ranked = rank(model, dataset.features)
    assert text.count("<figure>") == len(ranked)
    assert f"{ranked['mean_contribution'][0]:.4g}" in text
