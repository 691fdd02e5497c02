"""Encoded rows as pandas: the very columns of training."""

from __future__ import annotations

import pandas as pd
import pytest

from bentos.model.contract import Contract, Feature
from bentos.model.engines.pandas_frame import to_pandas
from bentos.model.store import StoredModel
from bentos.model.validation import EncodedRow, Encoder
from bentos.model.values.checks import EncodedValue
from tests.rows import ENCODED, WIDE, contract_of


def test_training_frame_comes_back(frame: pd.DataFrame, stored: dict[str, StoredModel]) -> None:
    """A training row that went out as JSON values comes back as the same frame."""
    made: Contract = stored["binary"].contract
    encoder = Encoder(made)
    rows = []
    for record in frame.head(50).to_dict("records"):
        values = {k: None if v != v else v for k, v in record.items()}  # noqa: PLR0124 - NaN
        encoded, faults = encoder.validate(values)
        assert faults == []
        assert encoded is not None
        rows.append(encoded)
    pd.testing.assert_frame_equal(to_pandas(made, rows), frame.head(50))


@pytest.mark.parametrize(
    "values",
    [[None, None], [None, "given"], ["given", "given"], ["given", None]],
)
def test_types_are_those_of_the_contract(values: list[object]) -> None:
    """No column's type, and no missing value's kind, depends on what else is in the batch."""
    given: dict[str, EncodedValue] = {
        "bonus": 1.5,
        "seen": True,
        "region": 1.0,
        "note": "text",
        "visited": 3,
        "left": 4,
    }
    features = (
        *WIDE.features,
        Feature("visited", "integer", "long", optional=True),
        Feature("left", "integer", "integer", optional=True),
    )
    rows: list[EncodedRow] = [
        (*ENCODED, *(None if value is None else given[name] for name in given)) for value in values
    ]
    made = to_pandas(contract_of(*features), rows)
    assert made.dtypes.iloc[len(ENCODED) :].astype(str).to_dict() == {
        "bonus": "float64",
        "seen": "boolean",
        "region": "category",
        "note": "str",
        "visited": "Int64",
        "left": "Int32",
    }
    assert made["region"].cat.categories.tolist() == ["north", "south"]
    for name in given:
        assert made[name].isna().tolist() == [value is None for value in values]
    dtypes = made.dtypes.astype(str).to_dict()
    assert (dtypes["amount"], dtypes["weight"]) == ("float64", "float32")
    assert (dtypes["count"], dtypes["visits"], dtypes["is_member"]) == ("int64", "int32", "bool")
    assert made["grade"].tolist() == [5] * len(rows)
