from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bentos.training import TrainingError
from bentos.training.data import Dataset
from bentos.training.description import describe_reference
from bentos.training.prepare import check_published, convert, main, read_source, write

PACKAGED = files("bentos.training").joinpath("data")


def published(dataset: Dataset) -> pd.DataFrame:
    """The frame as it is in the packaged file."""
    return dataset.features.assign(default_next_month=dataset.labels)


def test_packaged_file_agrees_with_the_published_tables(reference: Dataset) -> None:
    """30,000 rows, default rate .2212, the published means and the count of every category."""
    frame = published(reference)
    check_published(frame, "default_next_month")
    assert len(frame) == 30_000
    assert round(float(frame["default_next_month"].mean()), 4) == 0.2212
    assert round(float(frame["limit_balance"].mean()), 2) == 167_484.32
    assert round(float(frame["age"].mean()), 4) == 35.4855
    assert (frame["sex"] == "male").sum() == 11_888
    assert (frame["education"] == "other_or_unknown").sum() == 345
    assert (frame["marriage"] == "other_or_unknown").sum() == 54


@pytest.mark.parametrize("column", ["sex", "marriage", "age", "limit_balance"])
def test_a_changed_column_is_noticed(reference: Dataset, column: str) -> None:
    """One row moved to another category or value breaks the check, which names the column."""
    frame = published(reference)
    frame.loc[0, column] = frame.loc[frame[column] != frame.loc[0, column], column].iloc[0]
    with pytest.raises(TrainingError, match=column):
        check_published(frame, "default_next_month")


def test_lost_rows_and_outcomes_are_noticed(reference: Dataset) -> None:
    """The number of rows and of defaults are checked as well."""
    frame = published(reference)
    with pytest.raises(TrainingError, match="29999 rows"):
        check_published(frame.iloc[1:], "default_next_month")
    frame["default_next_month"] = 1 - frame["default_next_month"]
    with pytest.raises(TrainingError, match="default_next_month"):
        check_published(frame, "default_next_month")


def test_another_file_is_refused(tmp_path: Path) -> None:
    """Only the published CSV is accepted, by its SHA-256; others get one line."""
    csv = tmp_path / "other.csv"
    csv.write_text("ID,LIMIT_BAL\n1,2\n")
    with pytest.raises(TrainingError, match="SHA-256"):
        read_source(csv)
    result = CliRunner().invoke(main, [str(csv), str(tmp_path / "out.parquet")])
    assert result.exit_code == 1
    assert "not the published file" in result.output
    assert not (tmp_path / "out.parquet").exists()
    csv.write_bytes(gzip.compress(csv.read_bytes()))
    with pytest.raises(TrainingError, match="SHA-256"):
        read_source(csv)


def test_codes_become_words() -> None:
    """Documented codes get their word, undocumented ones get a category of their own."""
    description = describe_reference()
    source = pd.DataFrame({column.source: [1, 0] for column in description.features})
    source["SEX"] = [2, 1]
    source["EDUCATION"] = [4, 6]
    source[description.target.source] = [0, 1]
    converted = convert(source, description)
    assert converted["sex"].tolist() == ["female", "male"]
    assert converted["education"].tolist() == ["other", "other_or_unknown"]
    assert converted["marriage"].tolist() == ["married", "other_or_unknown"]
    assert str(converted["repayment_status_sep"].dtype) == "float64"
    assert str(converted["default_next_month"].dtype) == "int64"


def test_written_file_is_small_and_summed(reference: Dataset, tmp_path: Path) -> None:
    """Parquet, under 1.5 MB, with its checksum; reading it back loses nothing."""
    path = tmp_path / "rows.parquet"
    checksum = write(published(reference), path)
    assert (tmp_path / "SHA256SUMS").read_text() == f"{checksum}  rows.parquet\n"
    assert path.stat().st_size < 1_500_000
    pd.testing.assert_frame_equal(pd.read_parquet(path), published(reference))


def test_packaged_file_has_its_checksum_and_attribution() -> None:
    """The bytes that ship are the ones that were summed, and the licence's terms go with them."""
    content = PACKAGED.joinpath("credit_default.parquet").read_bytes()
    assert PACKAGED.joinpath("SHA256SUMS").read_text() == (
        f"{hashlib.sha256(content).hexdigest()}  credit_default.parquet\n"
    )
    attribution = PACKAGED.joinpath("ATTRIBUTION.md").read_text()
    assert "CC BY 4.0" in attribution
    assert "Changes made" in attribution
