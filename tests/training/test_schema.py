from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bentos.training import TrainingError
from bentos.training.data import Dataset
from bentos.training.description import describe_unknown
from bentos.training.schema import check


def refuse(frame: pd.DataFrame, dataset: Dataset) -> str:
    """The message with which a frame is refused."""
    with pytest.raises(TrainingError) as caught:
        check(frame, dataset.description)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_reference_data_pass(reference: Dataset) -> None:
    """The packaged rows keep every rule."""
    check(reference.features, reference.description)


def test_faults_name_column_and_count_and_no_value(reference: Dataset) -> None:
    """Every broken rule is reported at once, by column and number of rows; the values are not."""
    frame = reference.features.head(100).copy()
    frame.loc[3:9, "age"] = 7.125
    frame.loc[0, "bill_amount_sep"] = np.inf
    frame.loc[[4, 5], "payment_amount_sep"] = -98765.0
    said = refuse(frame, reference)
    assert "column 'age': 7 of 100 rows: is under 18" in said
    assert "column 'bill_amount_sep': 1 of 100 rows: is infinite" in said
    assert "column 'payment_amount_sep': 2 of 100 rows: is under 0" in said
    assert "7.125" not in said
    assert "98765" not in said


def test_missing_values_pass(reference: Dataset) -> None:
    """A number or a category may be missing."""
    frame = reference.features.head(100).copy()
    frame.loc[0, ["age", "sex"]] = np.nan
    check(frame, reference.description)


def test_columns_are_all_there_and_no_more(reference: Dataset) -> None:
    """A missing column and an unexpected one are reported by name."""
    frame = reference.features.head(100).drop(columns="age").assign(client=1.0)
    said = refuse(frame, reference)
    assert "column 'age': missing" in said
    assert "column 'client': not expected" in said


def test_wrong_type_is_told_once(reference: Dataset) -> None:
    """A column of text where numbers belong gives one fault, not one a rule."""
    frame = reference.features.head(100).copy()
    frame["limit_balance"] = frame["limit_balance"].astype(str)
    said = refuse(frame, reference)
    assert said.count("limit_balance") == 1
    assert "100 of 100 rows" in said


def test_unknown_category_set_is_refused(reference: Dataset) -> None:
    """A category column must have the described categories."""
    frame = reference.features.head(100).copy()
    frame["sex"] = frame["sex"].cat.rename_categories({"male": "m"})
    assert "column 'sex'" in refuse(frame, reference)


def test_undescribed_columns_may_hold_anything_finite() -> None:
    """Without a description only infinite numbers are refused."""
    description = describe_unknown("rows.csv", "outcome")
    frame = pd.DataFrame(
        {
            "number": [1.0, np.nan],
            "flag": [True, False],
            "word": pd.Categorical(["a", None]),
        }
    )
    check(frame, description)
    with pytest.raises(TrainingError, match="column 'number': 1 of 2 rows: is infinite"):
        check(frame.assign(number=[np.inf, 0.0]), description)
