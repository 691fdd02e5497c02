"""The proof that an import makes: what differs from the model itself never passes."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from bentos.errors import IntakeError
from bentos.model.contract import Contract, Feature
from bentos.model.engines.flavors import Loaded
from bentos.model.intake.generated import generate
from bentos.model.intake.proof import Proof, check_logged, prove_native, prove_pyfunc
from bentos.model.intake.rows import SentRows, send
from tests import models
from tests.rows import contract_of

MADE = contract_of(Feature("x", "float", "double"), Feature("n", "integer", "long"))


def rows_for(made: Contract) -> SentRows:
    """Rows drawn from a contract."""
    return send(made, generate(made, {}, is_extreme=False), "the rows")


def loaded(call: Any) -> Loaded:
    """A regression that is this call."""
    return Loaded(call, "Own", None, is_regression=True)


def test_another_booster(frame: pd.DataFrame) -> None:
    """A booster that is not the model's is found out, and the model's own passes."""
    numbers = frame[["amount", "count"]]
    made = contract_of(Feature("amount", "float", "double"), Feature("count", "integer", "long"))
    model, other = (
        lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, num_threads=1).fit(numbers, target)
        for target in (models.signal(frame), -models.signal(frame))
    )
    text, other_text = (one.booster_.model_to_string() for one in (model, other))
    rows = rows_for(made)
    proof = prove_native(made, text, loaded(model.predict), rows)
    assert isinstance(proof, Proof)
    assert len(proof.documents) == len(rows.documents)
    differs = prove_native(made, other_text, loaded(model.predict), rows)
    assert isinstance(differs, str)
    assert differs.endswith("rows score differently")


def test_model_that_fails() -> None:
    """A model that scores no row is refused with its own error, on both ways."""

    def call(frame: pd.DataFrame) -> Any:
        raise RuntimeError("out of order")

    for prove in (prove_pyfunc, lambda *given: prove_native(given[0], "", *given[1:])):
        with pytest.raises(IntakeError, match="RuntimeError: out of order"):
            prove(MADE, loaded(call), rows_for(MADE))


def test_rows_that_the_model_cannot_score() -> None:
    """Rows on which the model fails, or gives no number, are left out of the proof."""

    def call(frame: pd.DataFrame) -> Any:
        if frame["x"].isna().any():
            raise ValueError("missing")
        return np.where(frame["n"] == 0, np.nan, frame["x"])

    rows = rows_for(MADE)
    proof = prove_pyfunc(MADE, loaded(call), rows)
    scorable = [place for place, row in enumerate(rows.encoded) if row[0] is not None and row[1]]
    assert proof.kept == scorable
    assert 0 < len(scorable) < len(rows.encoded)


def test_score_by_neighbours() -> None:
    """A score that depends on the other rows is refused, however small a part of it."""
    for share in (1.0, 1e-6):
        with pytest.raises(IntakeError, match="depends on the rows that are scored with it"):
            prove_pyfunc(
                MADE,
                loaded(lambda frame, share=share: frame["n"] + share * len(frame)),
                rows_for(MADE),
            )


def test_tolerance_of_single_precision() -> None:
    """A model that computes in float32 may score a row less exactly with others, and keeps that."""

    def call(frame: pd.DataFrame) -> Any:
        return np.full(len(frame), 1 + 1e-6 * (len(frame) > 1), dtype=np.float32)

    assert prove_pyfunc(MADE, loaded(call), rows_for(MADE)).tolerance == 1e-4


def test_logged_scores() -> None:
    """Logged scores that the model does not give name the first such row."""
    rows = rows_for(MADE)
    proof = prove_pyfunc(MADE, loaded(lambda frame: frame["n"] * 1.0), rows)
    expected = proof.scores.copy()
    check_logged(proof, expected, rows)
    expected[[5, 9]] += 1e-9
    with pytest.raises(IntakeError, match=r"golden row 5 was logged with another score.*2 of"):
        check_logged(proof, expected, rows)
