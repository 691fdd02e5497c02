"""`tabserve explore`: one page about a table, and what stands out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bentos.cli import main
from bentos.training import relation
from tests.training.conftest import make_rows


def test_page_is_one_file_and_names_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command writes one HTML file that loads nothing, and names the column that leaks."""
    monkeypatch.chdir(tmp_path)
    rows = make_rows(400).assign(constant=1)
    rows["known_later"] = (rows["outcome"] == "yes") * 5.0
    pd.concat([rows, rows.head(3)]).to_csv("rows.csv", index=False)
    result = CliRunner().invoke(main, ["explore", "--data", "rows.csv", "--target", "outcome"])
    assert result.exit_code == 0, result.output
    assert "3 rows are copies of an earlier row" in result.output
    assert "columns of one value: constant" in result.output
    assert "suspected leaks, leave them out with --drop: known_later" in result.output
    page = Path("explore.html").read_text()
    assert "known_later" in page.partition("</section>")[0]
    loads = r'(?:src|<link[^>]*href)="https?://|url\(["\']?https?://|from "https?://|@import'
    assert re.findall(loads, page) == []


def test_page_shows_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column but the target: what a client sends, gaps, or why it is no feature."""
    monkeypatch.chdir(tmp_path)
    rows = make_rows(400).assign(person=[f"person {number}" for number in range(400)])
    found = {one.name: one for one in relation.propose(rows, "outcome")}
    assert "outcome" not in found
    assert (found["first"].sends, found["first"].is_nullable) == ("a number", True)
    assert found["first"].missing == 0.1
    assert found["colour"].categories == ["blue", "green", "red"]
    assert (found["is_new"].sends, found["is_new"].is_nullable) == ("true or false", False)
    assert "has 400 different texts" in found["person"].fault
    rows.to_csv("rows.csv", index=False)
    result = CliRunner().invoke(main, ["explore", "--data", "rows.csv", "--target", "outcome"])
    assert "columns that cannot be features as they are: person" in result.output
    head = Path("explore.html").read_text().partition("</section>")[0]
    assert "text, one of 3 categories" in head
    assert "blue, green, red" in head


@pytest.mark.parametrize(
    ("target", "measure", "leak"),
    [
        (lambda rows: rows["second"] * 3.0 + 1.0, "R²", "second"),
        (lambda rows: rows["colour"].fillna("none") + "!", "ROC-AUC, mean over classes", "colour"),
    ],
    ids=["regression", "multiclass"],
)
def test_leaks_of_other_tasks(
    target: Callable[[pd.DataFrame], pd.Series], measure: str, leak: str
) -> None:
    """A column that says a number, or one of several classes, is found by its own measure."""
    rows = make_rows(1200).drop(columns="outcome")
    found = relation.rank(rows, target(rows).rename("t"))
    assert not isinstance(found, str)
    assert found.measure == measure
    assert found.leaks == [leak]


def test_names_do_not_describe_themselves() -> None:
    """A text that differs in every row separates nothing; direction and gaps do not matter."""
    rows = make_rows(400).assign(person=[f"person {number}" for number in range(400)])
    features = rows.drop(columns="outcome").assign(away=-(rows["outcome"] == "yes").astype(float))
    ranked = relation.rank(features, rows["outcome"])
    assert not isinstance(ranked, str)
    assert ranked.values["away"] == 1.0
    assert ranked.values["person"] == 0.5
    assert next(iter(ranked.values)) == "away"
    assert ranked.leaks == ["away"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "rows.csv", "--target", "nope"], "rows.csv has no column 'nope'"),
        (["--data", "broken.csv"], "broken.csv is empty"),
        (["--data", "twice.csv"], "twice.csv: column 'a' occurs more than once"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong column or file is refused in one line, and no page is written."""
    monkeypatch.chdir(tmp_path)
    make_rows(50).to_csv("rows.csv", index=False)
    Path("broken.csv").write_bytes(b"")
    Path("twice.csv").write_text("a,b,a\n1,2,3\n")
    result = CliRunner().invoke(main, ["explore", *arguments])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {words}\n"
    assert not Path("explore.html").exists()
