"""Rows become typed samples: from the reference, and from the log."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from bentos.model.contract import Contract, Feature
from monitoring.drift.decision.sample import UNSEEN, share_out, write_category
from monitoring.drift.reading import SampleError, read_records, read_reference
from tests.monitoring.conftest import make_frame, to_parquet, to_records


def test_reference_and_log_give_the_same_sample(contract: Contract) -> None:
    """The same rows by Parquet and by JSON are equal, to the last bit."""
    frame = make_frame(300, seed=1)
    one, other = (
        read_reference(to_parquet(frame), contract),
        read_records(to_records(frame), contract),
    )
    pd.testing.assert_frame_equal(one.features, other.features)
    pd.testing.assert_frame_equal(one.scores, other.scores)
    assert other.ids[0] != other.ids[1]


def test_missing_values_stay_missing(contract: Contract) -> None:
    """`null` is missing: NaN among numbers, None among categories."""
    frame = make_frame(200, seed=1)
    frame.loc[:9, "income"] = np.nan
    frame.loc[:19, "region"] = None
    sample = read_records(to_records(frame), contract)
    assert sample.features["income"].isna().sum() == 10
    assert sample.features["region"].isna().sum() == 20


def test_a_feature_that_is_not_recorded_is_absent(contract: Contract) -> None:
    """What `TABSERVE_STORE_FEATURES` leaves out is not there, which is not the same as missing."""
    sample = read_records(to_records(make_frame(200, seed=1), without=["age"]), contract)
    assert list(sample.features) == ["income", "region", "owner"]


def test_a_feature_that_some_rows_lack_says_which(contract: Contract) -> None:
    """The listing of stored features changed within the window: no key is no missing value."""
    frame = make_frame(200, seed=1)
    frame.loc[150:159, "age"] = np.nan
    records = [
        *to_records(frame.head(100), without=["age"]),
        *to_records(frame.tail(100)),
    ]
    sample = read_records(records, contract)
    assert sample.recorded.keys() == {"age"}
    np.testing.assert_array_equal(sample.recorded["age"], np.arange(200) >= 100)
    assert sample.features["age"][sample.recorded["age"]].isna().sum() == 10
    last = sample.take(np.arange(90, 200))
    np.testing.assert_array_equal(last.recorded["age"], np.arange(110) >= 10)


def test_missing_values_of_nullable_columns_are_missing(contract: Contract) -> None:
    """`pd.NA`, in a reference made with pandas' own types, is missing for every kind."""
    frame = make_frame(200, seed=1).astype({"age": "Int64", "owner": "boolean"})
    frame.loc[:4, ["age", "owner"]] = pd.NA
    sample = read_reference(to_parquet(frame), contract)
    assert sample.features[["age", "owner"]].isna().sum().tolist() == [5, 5]
    assert sample.features["age"].dtype == np.float64


def test_a_single_precision_feature_is_rounded_on_both_sides() -> None:
    """0.1 of a client and float32's 0.1 of training are one value, as for the model."""
    contract = Contract((Feature("x", "float", "float"),), "binary", "booster", classes=(0, 1))
    frame = pd.DataFrame({"x": np.full(3, 0.1, np.float32), "__score__": 0.5})
    reference = read_reference(to_parquet(frame), contract)
    window = read_records(to_records(frame.assign(x=[0.1] * 3)), contract)
    assert window.features["x"].tolist() == [float(np.float32(0.1))] * 3
    pd.testing.assert_frame_equal(reference.features, window.features)
    with pytest.raises(SampleError, match="infinite"):
        read_records(to_records(frame.assign(x=[1e300] * 3)), contract)


def test_a_category_scored_as_missing_is_unseen(contract: Contract) -> None:
    """The log holds null and a warning for it: it is not a missing value."""
    frame = make_frame(200, seed=1)
    frame.loc[:4, "region"] = "unseen"
    sample = read_records(to_records(frame), contract)
    assert (sample.features["region"] == UNSEEN).sum() == 5
    assert sample.features["region"].isna().sum() == 0


def test_the_reference_of_another_contract_is_refused(contract: Contract) -> None:
    """Other columns, or scores of other classes: the message names what differs."""
    frame = make_frame(200, seed=1)
    with pytest.raises(SampleError, match=r"another contract: it lacks \['age'\]"):
        read_reference(to_parquet(frame.rename(columns={"age": "years"})), contract)
    renamed = frame.rename(columns={"__score__": "__score__high"})
    with pytest.raises(SampleError, match="other classes"):
        read_reference(to_parquet(renamed), contract)
    with pytest.raises(SampleError, match="cannot be read"):
        read_reference(b"no parquet", contract)


def test_what_breaks_the_contract_is_named_and_not_repeated(contract: Contract) -> None:
    """Text where a number must be, an unknown feature, no score: an error, with no value in it."""
    (record,) = to_records(make_frame(1, seed=1))
    wrong = msgspec.structs.replace(record, features=msgspec.Raw(b'{"income": "secret"}'))
    with pytest.raises(SampleError, match="'income' has values that are no numbers") as caught:
        read_records([wrong], contract)
    assert "secret" not in str(caught.value)
    strange = msgspec.structs.replace(record, features=msgspec.Raw(b'{"other": 1}'))
    with pytest.raises(SampleError, match="features that the contract does not"):
        read_records([strange], contract)
    with pytest.raises(SampleError, match="score is missing"):
        read_records([msgspec.structs.replace(record, score=None)], contract)


def test_several_classes_have_a_column_each() -> None:
    """Scores by class are bound by name, not by order."""
    contract = Contract(
        (Feature("x", "float", "double"),), "multiclass", "booster", classes=("low", "high")
    )
    (record,) = to_records(make_frame(1, seed=1))
    record = msgspec.structs.replace(
        record,
        features=msgspec.Raw(b'{"x":1.5}'),
        score=None,
        scores={"high": 0.75, "low": 0.25},
    )
    sample = read_records([record], contract)
    assert sample.scores.to_dict("records") == [{"low": 0.25, "high": 0.75}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"), (1.0, "1"), (np.float64(2), "2"), (1.5, "1.5"), (True, "true"),
        (np.bool_(False), "false"), ("a", "a"), (None, None), (float("nan"), None), (pd.NA, None),
    ],
)  # fmt: skip
def test_a_category_has_one_text(value: object, text: str | None) -> None:
    """The same category compares equal, wherever it came from."""
    assert write_category(value) == text


def test_importance_is_shared_out(contract: Contract) -> None:
    """Shares add up to 1; without any gain every feature has the same."""
    shares = share_out({"income": 3.0, "age": 1.0, "other": 9.0}, contract)
    assert shares == {"income": 0.75, "age": 0.25, "region": 0.0, "owner": 0.0}
    assert share_out({}, contract) == dict.fromkeys(contract.names, 0.25)
