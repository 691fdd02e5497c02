"""`tabserve predict`: every kind of file, cell by cell, in parts."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.commands import tables
from bentos.model.store import StoredModel
from tests import models

HEAD = "amount,count,is_member,colour,grade,weight\n"
GOOD = "100.5,3,true,red,5,0.25\n"


def predict(model: str, path: Path) -> Result:
    """Score a file."""
    return CliRunner().invoke(main, ["predict", model, str(path)])


def rows_of(result: Result) -> list[dict[str, str]]:
    """The lines of the output."""
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("suffix", ["csv", "parquet", "csv.gz"])
def test_scores_are_the_models_own(
    kind: str, suffix: str, imported: dict[str, str], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """CSV, plain or compressed, and Parquet: each score is that of the model, to the last bit."""
    path = tmp_path / f"rows.{suffix}"
    rows = frame.head(40)
    # A float32 is written with the digits of its double, which is what a client would send.
    rows = rows.assign(weight=rows["weight"].astype("float64"))
    rows.to_parquet(path) if suffix == "parquet" else rows.to_csv(path, index=False)
    result = predict(imported[kind], path)
    assert result.exit_code == 0, result.output
    assert result.stderr == "40 rows scored, 0 refused\n"
    expected = models.scores_of(
        {
            "binary": models.binary,
            "multiclass": models.multiclass,
            "regression": models.regression,
        }[kind](frame),
        frame.head(40),
    )
    columns = ["score"] if kind != "multiclass" else ["score_high", "score_low", "score_middle"]
    found = np.array([[float(row[name]) for name in columns] for row in rows_of(result)])
    assert found.tobytes() == np.ascontiguousarray(expected).reshape(40, -1).tobytes()


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("abc,3,true,red,5,0.25", "/amount wrong_type"),
        ("inf,3,true,red,5,0.25", "/amount wrong_type"),
        ("1e999,3,true,red,5,0.25", "/amount"),
        ("100.5,3.5,true,red,5,0.25", "/count"),
        ("100.5,,true,red,5,0.25", "/count"),
        ("100.5,3,yes,red,5,0.25", "/is_member"),
        ("100.5,3,true,purple,5,0.25", "/colour"),
        ("100.5,3,true,red,4,0.25", "/grade"),
        ("1_000,3,true,red,5,0.25", "/amount wrong_type"),
        ("100.5,3,true,red,5," + "9" * 400, "/weight"),
    ],
)
def test_a_bad_cell_is_a_bad_row(
    row: str, fault: str, imported: dict[str, str], tmp_path: Path
) -> None:
    """Its faults are named by place; the rows around it, of the same column, are scored."""
    path = tmp_path / "rows.csv"
    path.write_text(HEAD + GOOD + row + "\n" + GOOD)
    result = predict(imported["binary"], path)
    assert result.exit_code == 0, result.output
    first, bad, last = rows_of(result)
    assert first["score"] == last["score"] != ""
    assert bad["score"] == bad["label"] == ""
    assert bad["faults"].startswith(fault)
    counts, hint = result.stderr.splitlines()
    assert counts == "2 rows scored, 1 refused"
    assert hint.startswith("the first refused is row 1: " + fault.split(maxsplit=1)[0])


@pytest.mark.parametrize(
    ("row", "like"),
    [
        (" 100.5 ,3.0,TRUE,red,5.0,+.25", GOOD),
        ("NA,3,true,,,null", ",3,true,,,\n"),
        ("1.005e2,3,true,red,5,0.250", GOOD),
    ],
)
def test_what_spreadsheets_write_is_read(
    row: str, like: str, imported: dict[str, str], tmp_path: Path
) -> None:
    """Whole numbers as 3.0, signs, spaces, upper case and the names of missing values."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEAD}{row}\n{like}")
    first, second = rows_of(predict(imported["binary"], path))
    assert first["score"] == second["score"] != ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (HEAD.encode(), "has no rows"),
        (b"\x00\x01\x02\xff\xfe", "is not UTF-8"),
        ((HEAD + GOOD.replace("red", "gr\xfcn")).encode("latin-1"), "is not UTF-8"),
        ((HEAD + GOOD + "1,2,3,4,5,6,7,8\n").encode(), "line 3 has 8 cells, not 6"),
        (HEAD.replace(",", ";").encode() + GOOD.encode(), "is separated by semicolons"),
        ((HEAD.strip() + ",amount\n" + GOOD.strip() + ",1\n").encode(), "'amount' occurs more"),
        (b"amount,count\n1,2\n", "has no column 'is_member', which the model needs"),
    ],
)
def test_files_that_are_no_table(
    content: bytes, words: str, imported: dict[str, str], tmp_path: Path
) -> None:
    """One line with the file and what is wrong with it, and no line of output."""
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    result = predict(imported["binary"], path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_row_scored_is_a_failure(imported: dict[str, str], tmp_path: Path) -> None:
    """Where every row is refused the exit code says so."""
    path = tmp_path / "rows.csv"
    path.write_text(HEAD + "x,x,x,x,x,x\n")
    result = predict(imported["binary"], path)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "0 rows scored, 1 refused",
        "the first refused is row 0: /amount must be a JSON number or null",
    ]


def test_true_in_a_column_of_integers_says_what_it_must_be(
    imported: dict[str, str], tmp_path: Path
) -> None:
    """A boolean is no integer: the row is refused, and a line says what the column takes."""
    path = tmp_path / "rows.csv"
    cells = dict(zip(HEAD.strip().split(","), GOOD.strip().split(","), strict=True))
    path.write_text(HEAD + ",".join({**cells, "count": "True"}.values()) + "\n")
    result = predict(imported["binary"], path)
    assert result.exit_code == 1
    assert "row 0: /count must be a JSON integer\n" in result.stderr


def test_integers_beside_missing_ones_stay_exact(
    stored: dict[str, StoredModel], tmp_path: Path
) -> None:
    """Parquet's integers do not become floats, and a file is read in parts of the asked size."""
    path = tmp_path / "rows.parquet"
    pd.DataFrame(
        {
            "amount": [1.0, None, 3.0],
            "count": pd.array([2**53 + 1, None, 3], dtype="Int64"),
            "is_member": [True, False, True],
            "colour": ["red", "red", None],
            "grade": [3, 5, 7],
            "weight": [0.5, 0.5, 0.5],
            "other": ["a", "b", "c"],
        }
    ).to_parquet(path)
    contract = stored["binary"].contract
    parts = list(tables.read_parts(path, contract, 2))
    assert [len(part) for part in parts] == [2, 1]
    assert parts[0]["count"].tolist() == [2**53 + 1, None]
    assert "other" not in parts[0]
    assert "other" in tables.read_table(path, contract)


MEASURE = """
import resource, sys
from click.testing import CliRunner
from bentos.cli import main
for path in sys.argv[2:]:
    done = CliRunner().invoke(main, ["predict", sys.argv[1], path, "--output", path + ".scored"])
    assert done.exit_code == 0, done.output
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(imported: dict[str, str], tmp_path: Path) -> None:
    """A file of ten times the rows takes no more memory."""
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    small.write_text(HEAD + GOOD * 3_000)
    large.write_text(HEAD + GOOD * 60_000)
    command = [sys.executable, "-c", MEASURE, imported["binary"], str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    # Kibibytes; the rows of the large file alone take some 30 MiB as a frame of objects.
    assert after - before < 8_192
