from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.model import bundle
from bentos.model.contract import Contract, Feature
from bentos.model.explanation import reasons as explanation
from bentos.training import evidence, reasons
from bentos.training.candidates import fit_lightgbm
from bentos.training.data import Dataset
from bentos.training.description import describe_reference, describe_unknown
from bentos.training.settings import EvidenceSettings, Settings
from tests.training.conftest import halve, make_dataset


def test_golden_rows_span_the_scores_and_the_gaps() -> None:
    """Lowest and highest score are among them; each nullable feature is missing somewhere."""
    features = make_dataset(600).features.ffill().bfill()
    scores = np.random.default_rng(2).permutation(600) / 600
    golden = evidence.choose_golden(features, scores, 64)
    assert len(golden) == 64
    assert golden.dtypes.equals(features.dtypes)
    gaps = golden.isna()
    nullable = ["first", "second", "count", "colour"]
    assert gaps[nullable].any().all()
    assert not gaps["is_new"].any()
    assert gaps[nullable].all(axis=1).sum() == 1
    assert 0 < gaps.any(axis=1).mean() <= 0.5


def test_golden_rows_are_at_most_what_there_is() -> None:
    """A small test part gives all its rows, once each."""
    features = make_dataset(120).features
    golden = evidence.choose_golden(features, np.linspace(0, 1, 120), 256)
    assert len(golden) == 120


def test_golden_rows_leave_the_test_rows_alone() -> None:
    """Gaps are made in a copy."""
    features = make_dataset(120).features
    before = features.copy()
    evidence.choose_golden(features, np.linspace(0, 1, 120), 120)
    pd.testing.assert_frame_equal(features, before)


def test_files_read_back_with_exact_scores(tmp_path: Path, chosen: Settings) -> None:
    """What the bundle reads are the model's own scores, bit for bit, and typed rows."""
    train, test = halve(make_dataset())
    candidate = fit_lightgbm(train, test, chosen.lightgbm, lambda line: None)
    paths = evidence.write(
        tmp_path,
        candidate,
        train,
        test,
        bundle.Decision(0.25, "By hand."),
        "# Card\n",
        EvidenceSettings(reference_rows=50, golden_rows=40, contribution_rows=10),
        seed=1,
    )
    assert [path.name for path in paths] == [
        bundle.REFERENCE,
        bundle.GOLDEN,
        bundle.DECISION,
        bundle.FEATURES,
        bundle.CARD,
    ]
    for name, count in ((bundle.REFERENCE, 50), (bundle.GOLDEN, 40)):
        rows, scores = bundle.read_scored_rows(tmp_path / name)
        assert rows.dtypes.equals(train.features.dtypes)
        assert scores.shape == (count, 1)
        assert candidate.score(rows).tobytes() == scores[:, 0].tobytes()
    assert json.loads((tmp_path / bundle.DECISION).read_bytes())["threshold"] == 0.25
    assert (tmp_path / bundle.CARD).read_text() == "# Card\n"


def test_reasons_of_the_reference(reference: Dataset) -> None:
    """Each feature of the reference model has one reason; a column left out takes its own along."""
    description = describe_reference()
    names = list(reference.features.columns)
    text = reasons.write(description, names)
    assert text is not None
    assert b"# Label 1" in text
    contract = Contract(
        tuple(Feature(name, "float", "double") for name in names), "binary", "booster", (0, 1)
    )
    file = explanation.parse(text)
    assert explanation.check(file, contract, is_required=True) == []
    assert (file.required, file.most) == (True, 4)
    assert {one.code for one in file.reasons if one.protected} == {"AGE", "SEX", "MARITAL-STATUS"}
    kept = [name for name in names if name not in ("sex", "bill_amount_sep")]
    left = explanation.parse(reasons.write(description, kept) or b"").features
    assert "SEX" not in left
    assert "bill_amount_sep" not in left["STATEMENT-BALANCES"]
    assert reasons.write(describe_unknown("own", "target"), names) is None


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_even_a_few_golden_rows_work(rows: int) -> None:
    """No arrangement of gaps needs a least number of rows."""
    features = make_dataset(120).features
    assert len(evidence.choose_golden(features, np.linspace(0, 1, 120), rows)) == rows
