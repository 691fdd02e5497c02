"""Rows to answers, on real models: what the model says, whatever the order of the keys."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bentos.model import golden
from bentos.model.contract import Contract
from bentos.model.engines.predictor import BoosterPredictor
from bentos.model.frame import Frame
from bentos.model.json_rows import RowReader
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.scoring import Scored, Scorer
from bentos.model.store import StoredModel
from bentos.model.validation import Encoder
from tests import models
from tests.rows import bits

KINDS = ("binary", "multiclass", "regression", "booster")

# Rows as clients may send them, for the models of `trained`: beyond the training range too.
ROWS = st.fixed_dictionaries(
    {
        "amount": st.none()
        | st.floats(-1e6, 1e6)
        | st.floats(allow_nan=False, allow_infinity=False),
        "count": st.integers(-5, 15) | st.integers(-(2**53), 2**53),
        "is_member": st.booleans(),
        "colour": st.none() | st.sampled_from(models.COLOURS),
        "grade": st.none() | st.sampled_from([3, 5, 7]),
        # A double that no float32 holds is rounded, as pandas rounds it.
        "weight": st.none() | st.floats(-4, 4) | st.floats(-3e38, 3e38),
    }
)


@pytest.fixture(scope="module")
def scorers(stored: dict[str, StoredModel]) -> dict[str, tuple[RowReader, Scorer]]:
    """Reader and scorer of each kind of model."""
    return {
        kind: (
            RowReader(Encoder(model.contract)),
            Scorer(model.contract, BoosterPredictor((model.folder / FOLDER / BOOSTER).read_text())),
        )
        for kind, model in stored.items()
    }


def as_pandas(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as the frame that the models of `trained` were trained on."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pd.DataFrame(
        {
            "amount": np.array(columns["amount"], dtype=np.float64),
            "count": np.array(columns["count"], dtype=np.int64),
            "is_member": np.array(columns["is_member"], dtype=bool),
            "colour": pd.Categorical(columns["colour"], categories=models.COLOURS),
            "grade": pd.Categorical(columns["grade"], categories=[3, 5, 7]),
            "weight": np.array(columns["weight"], dtype=np.float32),
        }
    )


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_scores_are_the_model_s(
    kind: str,
    rows: list[dict[str, Any]],
    scorers: dict[str, tuple[RowReader, Scorer]],
    trained: dict[str, Any],
) -> None:
    """A row sent as JSON gets the score that the model gives its pandas frame, bit for bit."""
    reader, scorer = scorers[kind]
    encoded = [reader.read_row(json.dumps(row).encode())[0] for row in rows]
    expected = models.scores_of(trained[kind], as_pandas(rows))
    assert scorer.predict(encoded).tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@given(row=ROWS, data=st.data())
def test_order_of_keys(
    kind: str,
    row: dict[str, Any],
    data: st.DataObject,
    scorers: dict[str, tuple[RowReader, Scorer]],
) -> None:
    """The order of a row's keys changes neither the encoded row nor the answer."""
    reader, scorer = scorers[kind]
    turned = dict(data.draw(st.permutations(list(row.items()))))
    first = reader.read_row(json.dumps(row).encode())[0]
    second = reader.read_row(json.dumps(turned).encode())[0]
    assert bits(first) == bits(second)
    assert scorer.score([first]).scored == scorer.score([second]).scored


@pytest.mark.parametrize("kind", KINDS)
def test_company_changes_nothing(
    kind: str, stored: dict[str, StoredModel], scorers: dict[str, tuple[RowReader, Scorer]]
) -> None:
    """A row has the same answer alone and among others."""
    reader, scorer = scorers[kind]
    kept = golden.read((stored[kind].folder / FOLDER / golden.FILE).read_bytes())
    rows = golden.encode_rows(kept, reader.read_row)
    together = scorer.score(rows).scored
    alone = [scorer.score([row]).scored[0] for row in rows]
    assert together == alone


def test_labels(scorers: dict[str, tuple[RowReader, Scorer]], frame: pd.DataFrame) -> None:
    """A binary label follows the threshold of the decision, a multiclass one the largest score."""
    rows = [
        {name: None if value != value else value for name, value in row.items()}  # noqa: PLR0124
        for row in frame.head(200).to_dict("records")
    ]
    for kind in ("binary", "multiclass"):
        reader, scorer = scorers[kind]
        batch = scorer.score([reader.validate(row)[0] or () for row in rows])
        scored = batch.scored
        assert batch.labels == Counter(str(one.label) for one in scored)
        for one in scored:
            if kind == "binary":
                assert one.score is not None
                assert one.label == int(one.score >= 0.4)
            else:
                assert one.scores is not None
                classes = ("high", "low", "middle")
                assert one.label == classes[one.scores.index(max(one.scores))]
    reader, scorer = scorers["regression"]
    batch = scorer.score([reader.validate(rows[0])[0] or ()])
    assert batch.scored[0].label is None
    assert batch.labels == {}


class Fixed:
    """A predictor that always gives the same scores."""

    def __init__(self, *scores: float) -> None:
        self.scores = np.array(scores)

    def predict(self, frame: Frame) -> NDArray[np.float64]:
        return self.scores


def test_threshold_is_inclusive(stored: dict[str, StoredModel]) -> None:
    """A score equal to the threshold gets the second class."""
    made: Contract = msgspec.structs.replace(stored["binary"].contract, classes=("good", "bad"))
    row = (100.0, 3, True, 0.0, 0.0, 0.0)
    scored = Scorer(made, Fixed(0.4, np.nextafter(0.4, 0))).score([row, row]).scored
    assert [one.label for one in scored] == ["bad", "good"]


def test_warnings_belong_to_their_rows(scorers: dict[str, tuple[RowReader, Scorer]]) -> None:
    """A row outside the training range is warned of; its neighbour is not."""
    _, scorer = scorers["binary"]
    usual = (100.0, 3, True, 0.0, 2.0, 0.0)
    batch = scorer.score([usual, (1e9, 3, True, None, 2.0, 0.0), usual])
    scored, screening = batch.scored, batch.screening
    assert [len(one.warnings) for one in scored] == [0, 2, 0]
    assert {(warned.pointer, warned.code) for warned in scored[1].warnings} == {
        ("/amount", "out_of_range"),
        ("/colour", "unexpected_missing"),
    }
    assert (screening.missing, screening.outside) == ({"colour": 1}, {"amount": 1})
    assert isinstance(scored[0], Scored)


def test_codes_are_no_range(scorers: dict[str, tuple[RowReader, Scorer]]) -> None:
    """A category of numbers is never out of range: its code is not its value."""
    reader, scorer = scorers["binary"]
    row = {"amount": 100.0, "count": 3, "is_member": True, "colour": "red", "weight": 0.0}
    for grade in (3, 5, 7):
        encoded, faults = reader.validate({**row, "grade": grade})
        assert faults == []
        assert scorer.score([encoded or ()]).scored[0].warnings == ()
