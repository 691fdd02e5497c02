from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.training import TrainingError
from bentos.training.data import Dataset, load_file, reduce, verify
from tests.training.conftest import make_dataset, make_rows


def save(tmp_path: Path, rows: pd.DataFrame) -> Path:
    """Write rows as Parquet, which keeps their types."""
    path = tmp_path / "rows.parquet"
    rows.to_parquet(path, index=False)
    return path


def refuse(tmp_path: Path, rows: pd.DataFrame, target: str = "outcome") -> str:
    """The one line with which rows are refused."""
    with pytest.raises(TrainingError) as caught:
        load_file(save(tmp_path, rows), target, maximum_categories=10)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reference_data_are_typed_for_serving(reference: Dataset) -> None:
    """Three categories of strings, twenty float64: every one can be missing."""
    kinds = reference.features.dtypes.map(str).value_counts().to_dict()
    assert kinds == {"float64": 20, "category": 3}
    assert reference.classes == (0, 1)
    assert reference.outcomes.mean() == pytest.approx(0.2212, abs=1e-12)


def test_damaged_package_data_are_refused() -> None:
    """Bytes that do not have the published checksum are not read."""
    with pytest.raises(TrainingError, match="damaged"):
        verify(b"other bytes", "0" * 64)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_file_formats_give_the_same_rows(tmp_path: Path, ending: str) -> None:
    """CSV, compressed CSV and Parquet hold the same data set, by its digest."""
    rows, path = make_rows(), tmp_path / f"rows.{ending}"
    if ending == "parquet":
        rows.to_parquet(path, index=False)
    else:
        rows.to_csv(path, index=False)
    loaded = load_file(path, "outcome", maximum_categories=10)
    expected = make_dataset()
    pd.testing.assert_frame_equal(loaded.features, expected.features)
    assert loaded.labels.tolist() == expected.labels.tolist()
    assert loaded.digest == expected.digest


def test_columns_become_numbers_categories_and_booleans(tmp_path: Path) -> None:
    """Numbers are float64, text is a category in code point order, booleans stay."""
    rows = make_rows().assign(
        small=np.int8(1),
        gaps=pd.array([None, *range(599)], dtype="Int64"),
        grade=pd.Categorical(["3", "1", "2"] * 200, categories=["3", "2", "1"]),
        maybe=pd.array([None, True, False] * 200, dtype="boolean"),
    )
    features = load_file(save(tmp_path, rows), "outcome", 10).features
    assert str(features["small"].dtype) == "float64"
    assert str(features["gaps"].dtype) == "float64"
    assert features["gaps"].isna().sum() == 1
    assert str(features["is_new"].dtype) == "bool"
    assert features["colour"].cat.categories.tolist() == ["blue", "green", "red"]
    assert features["grade"].cat.categories.tolist() == ["1", "2", "3"]
    assert features["maybe"].cat.categories.tolist() == ["False", "True"]
    assert features["maybe"].isna().sum() == 200


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["bad", "good"], ("bad", "good")),
        ([1, 2], (1, 2)),
        ([False, True], (False, True)),
        ([0.0, 1.0], (0.0, 1.0)),
    ],
)
def test_any_two_labels_are_a_target(
    tmp_path: Path, values: list[object], classes: tuple[object, object]
) -> None:
    """Labels keep their type; the score is about the second in ascending order."""
    loaded = load_file(
        save(tmp_path, make_rows().assign(outcome=pd.Series(values * 300))), "outcome", 10
    )
    assert loaded.classes == classes
    assert loaded.outcomes.tolist() == [0, 1] * 300


def test_missing_target_column_is_named(tmp_path: Path) -> None:
    """A target that the file does not have is named."""
    assert "no column 'result'" in refuse(tmp_path, make_rows(), "result")


def test_task_follows_the_target(tmp_path: Path) -> None:
    """Two values, several, a number: outcomes are class numbers, or the values themselves."""
    several = load_file(
        save(tmp_path, make_rows().assign(outcome=["mid", "low", "top"] * 200)), "outcome", 10
    )
    assert (several.task, several.classes) == ("multiclass", ("low", "mid", "top"))
    assert several.outcomes[:3].tolist() == [1, 0, 2]
    values = load_file(save(tmp_path, make_rows()), "second", 10)
    assert (values.task, values.classes) == ("regression", ())
    assert values.outcomes.dtype == np.float64
    assert set(values.strata) == {0}


def test_target_must_be_complete(tmp_path: Path) -> None:
    """Missing values of the target are counted, not shown."""
    assert "missing in 20 rows" in refuse(
        tmp_path, make_rows().assign(outcome=pd.Series([None, *["yes", "no"] * 14, "no"] * 20))
    )


def test_rare_class_is_refused(tmp_path: Path) -> None:
    """Too few rows of one class make every metric noise."""
    rows = make_rows().assign(outcome=[1] * 12 + [0] * 588)
    assert "12 rows of its rarer class, 50 are needed" in refuse(tmp_path, rows)


def test_names_that_the_model_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    """Line ends and JSON's characters would be lost or refused inside LightGBM."""
    for name in ("two\nlines", "a:b", 'quo"te', "list[0]"):
        assert repr(name) in refuse(tmp_path, make_rows().rename(columns={"first": name}))
    assert "__score__" in refuse(tmp_path, make_rows().rename(columns={"first": "__score__x"}))


def test_spaces_and_umlauts_are_names(tmp_path: Path) -> None:
    """A space becomes an underscore in the model file; two names may not become the same."""
    rows = make_rows().rename(columns={"first": "Größe in m²"})
    assert "Größe in m²" in load_file(save(tmp_path, rows), "outcome", 10).features
    alike = make_rows().rename(columns={"first": "a b", "second": "a_b"})
    assert "alike but for spaces" in refuse(tmp_path, alike)


def test_columns_that_cannot_be_learned_are_named(tmp_path: Path) -> None:
    """Times, names and empty columns are refused by name and count."""
    rows = make_rows()
    days = pd.date_range("2020-01-01", periods=600)
    assert "column 'day' holds times" in refuse(tmp_path, rows.assign(day=days))
    names = [f"client {number}" for number in range(600)]
    said = refuse(tmp_path, rows.assign(client=names))
    assert "column 'client' has 600 different texts" in said
    assert "client 1" not in said
    assert "column 'void' has no value in any of its 600 rows" in refuse(
        tmp_path, rows.assign(void=np.nan)
    )
    assert "column 'lists': 600 rows are neither" in refuse(
        tmp_path, rows.assign(lists=pd.Series([[1, 2]] * 600))
    )
    assert "column 'count': 1 of 600 rows: is infinite" in refuse(
        tmp_path, rows.assign(count=[np.inf, *range(599)])
    )


def test_target_alone_is_refused(tmp_path: Path) -> None:
    """There must be something to learn from."""
    assert "no column besides" in refuse(tmp_path, make_rows()[["outcome"]])


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.csv.gz"])
def test_unreadable_file_is_one_line(tmp_path: Path, name: str) -> None:
    """Bytes that are no table are refused with the file's name."""
    path = tmp_path / name
    path.write_bytes(b"\x00\xff\xfe\x9c\x00")
    with pytest.raises(TrainingError, match=name):
        load_file(path, "outcome", 10)
    path.write_bytes(b"")
    with pytest.raises(TrainingError, match=name):
        load_file(path, "outcome", 10)


def test_digest_notices_rows_names_and_target() -> None:
    """Another value, another name, another order and another outcome give another digest."""
    dataset = make_dataset()
    changed = [
        dataset.take(np.arange(600)[::-1].copy()),
        make_dataset(seed=6),
        Dataset(
            dataset.features.rename(columns={"first": "other"}),
            dataset.labels,
            dataset.classes,
            dataset.description,
            dataset.source,
        ),
        Dataset(
            dataset.features,
            dataset.labels[::-1].copy(),
            dataset.classes,
            dataset.description,
            dataset.source,
        ),
    ]
    digests = {dataset.digest, *(other.digest for other in changed)}
    assert len(digests) == 1 + len(changed)
    assert len(dataset.digest) == 32


def test_reference_digest_is_pinned(reference: Dataset) -> None:
    """The digest does not depend on the machine or on the run."""
    assert reference.digest == "8ed9ff8d65730caad188fbfbfc2e134d"


def test_reduce_keeps_the_share_of_positives(reference: Dataset) -> None:
    """Fewer rows, the same default rate; too few are refused."""
    small = reduce(reference, 3000, seed=1)
    assert len(small.outcomes) == 3000
    assert small.outcomes.mean() == pytest.approx(0.2212, abs=0.001)
    assert reduce(reference, None, seed=1) is reference
    with pytest.raises(TrainingError, match="rarer class"):
        reduce(reference, 100, seed=1)
