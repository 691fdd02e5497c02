"""`tabserve explain --global`: which features move a model, and how, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bentos.model.explanation import overall, page
from tests.commands.test_import import run


def test_the_page(
    imported: dict[str, str], trained: dict[str, Any], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Importance is the mean absolute contribution; the page is whole and loads nothing."""
    frame.to_parquet(tmp_path / "rows.parquet")
    target = tmp_path / "page.html"
    for options in ((), ("--data", str(tmp_path / "rows.parquet"))):
        result = run("explain", imported["binary"], "--global", "--output", str(target), *options)
        assert result.exit_code == 0, result.output
        own = np.asarray(trained["binary"].booster_.predict(frame, pred_contrib=True))[:, :-1]
        strongest = np.abs(own).mean(axis=0)
        shown = [line.split() for line in result.stdout.splitlines()[1:]]
        assert [name for _, name in shown] == [
            str(frame.columns[place]) for place in np.argsort(-strongest)[:5]
        ]
        assert float(shown[0][0]) == pytest.approx(strongest.max(), abs=1e-4)
        text = target.read_text()
        assert text.count("<figure>") == 6
        assert "http" not in text
        for part in text.split("<svg")[1:]:
            ElementTree.fromstring("<svg" + part.partition("</svg>")[0] + "</svg>")  # noqa: S314 - the same


def test_several_classes_and_numbers(imported: dict[str, str], tmp_path: Path) -> None:
    """Models of every task are drawn."""
    for kind in ("multiclass", "regression"):
        result = run("explain", imported[kind], "--global", "--output", str(tmp_path / "p.html"))
        assert result.exit_code == 0, result.output


def test_wrong_arguments(imported: dict[str, str], tmp_path: Path) -> None:
    """Without --global it is a usage error; a file of other rows is one line."""
    assert run("explain", imported["binary"]).exit_code == 2
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    result = run("explain", imported["binary"], "--global", "--data", str(tmp_path / "other.csv"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_no_group_is_of_one_row() -> None:
    """Every group of a number has ten rows or more, so no picture holds one person's value."""
    random = np.random.default_rng(5)
    values = random.lognormal(size=997)
    values[:40] = np.nan
    codes = random.integers(0, 3, 997).astype(float)
    parts = random.normal(size=(997, 2))
    found = overall.summarize(("x", "c"), (values, codes), (None, ("<a>", "b", "c")), parts)
    by_name = {one.feature: one.groups for one in found}
    assert min(group.rows for group in by_name["x"]) >= overall.LEAST_ROWS
    assert by_name["x"][-1].label == "missing"
    assert [group.label for group in by_name["c"]] == ["<a>", "b", "c"]
    assert sum(group.rows for group in by_name["c"]) == 997
    assert "<a>" not in page.draw("t", "u", 997, "s", found)
