"""Encoded rows as pandas: the very columns of training."""

from __future__ import annotations

import pandas as pd
import pytest

from bentos.model.contract import Contract
from bentos.model.engines.pandas_frame import to_pandas
from bentos.model.store import StoredModel
from bentos.model.validation import Encoder
from tests.rows import ENCODED, WIDE


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


@pytest.mark.parametrize("bonus", [None, 1.5])
def test_optional_columns(bonus: float | None) -> None:
    """What is missing is NaN in a float column and None in one that numpy cannot mark."""
    row = (*ENCODED, bonus, None, None, "text")
    made = to_pandas(WIDE, [row, row])
    assert list(made.columns) == list(WIDE.names)
    assert made["bonus"].isna().all() == (bonus is None)
    assert made["seen"].tolist() == [None, None]
    assert made["region"].isna().all()
    assert made["region"].cat.categories.tolist() == ["north", "south"]
    assert made["note"].tolist() == ["text", "text"]
    dtypes = made.dtypes.astype(str).to_dict()
    assert (dtypes["amount"], dtypes["weight"]) == ("float64", "float32")
    assert (dtypes["count"], dtypes["visits"], dtypes["is_member"]) == ("int64", "int32", "bool")
    assert made["grade"].tolist() == [5, 5]
