"""Budgets, and the exit code that comes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests import check, session
from loadtests.judging import budget
from loadtests.session import Session
from loadtests.traffic.plan import PLANS
from loadtests.traffic.recorder import Passage, Tally

TALLY = Tally(good=1000, p50=0.5, p95=1.0, p99=2.0, longest=3.0)


def _session(tally: Tally = TALLY) -> Session:
    passages = [
        Passage(
            stage=stage.name,
            kind=stage.kind,
            users=stage.users,
            rate=stage.rate,
            is_measured=stage.is_measured,
            started=0.0,
            ended=10.0,
            tallies={"batch" if stage.kind == "batch" else "predict": tally},
            rss_bytes=200_000_000,
            rss_growth=0.01,
        )
        for stage in PLANS["smoke"]
    ]
    return Session(
        {"date": "2026-01-01"}, "python -m loadtests.session", "smoke", "tabserve", passages
    )


def _check(found: Session, folder: Path, *arguments: str) -> int:
    session.save(found, folder / "run.json")
    return check.main([str(folder / "run.json"), *arguments])


def test_a_run_within_its_budgets_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every limit kept: exit code 0, and a table that says so."""
    assert _check(_session(), tmp_path, "--report") == 0
    assert "| kept | predict | predict | p99 | 2 | at most 50 |" in capsys.readouterr().out
    assert "limits kept" in (tmp_path / "run.md").read_text()


def test_a_broken_budget_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One limit broken: exit code 1, and the table shows which."""
    assert _check(_session(replace(TALLY, p99=500.0)), tmp_path) == 1
    assert "| **broken** | predict | predict | p99 | 500 | at most 50 |" in capsys.readouterr().out


def test_a_failure_is_1_in_any_stage(tmp_path: Path) -> None:
    """A wrong answer counts even while the server warms up."""
    found = _session()
    found.passages[0].tallies["predict"] = replace(TALLY, failures={"wrong score": 1})
    assert not found.passages[0].is_measured
    assert _check(found, tmp_path) == 1


def test_what_was_not_measured_was_not_kept(tmp_path: Path) -> None:
    """A stage that never ran is no success."""
    found = _session()
    found.passages.pop()
    assert _check(found, tmp_path) == 1
    found.passages = []
    assert _check(found, tmp_path) == 1


def test_nothing_to_judge_is_2(tmp_path: Path) -> None:
    """No file, no JSON, no session, no budgets: exit code 2, not a verdict."""
    assert check.main([str(tmp_path / "none.json")]) == 2
    for text in ("", "[]", "{}", '{"passages": 1}'):
        (tmp_path / "other.json").write_text(text)
        assert check.main([str(tmp_path / "other.json")]) == 2
    (tmp_path / "budgets.yaml").write_text("[]")
    assert _check(_session(), tmp_path, "--budgets", str(tmp_path / "budgets.yaml")) == 2


def test_budgets_have_reasons_and_name_what_exists() -> None:
    """Every budget reads, and every plan that promises something has one of its own."""
    budgets = budget.read()
    assert all(len(one.why.split()) > 5 for one in budgets)
    # A plan for a comparison promises nothing.
    assert {one.plan for one in budgets} == {budget.ANY, *PLANS} - {"step"}


@pytest.mark.parametrize(
    "entry",
    [
        "{plan: smoke, value: p99, at_most: 5}",
        "{plan: smoke, value: p99, at_most: 5, why: because}",
        "{plan: smoke, value: p99, why: no bound is given at all}",
        "{plan: none, value: p99, at_most: 5, why: there is no such plan}",
        "{plan: smoke, value: p98, at_most: 5, why: there is no such value}",
        "{plan: smoke, stage: none, value: p99, at_most: 5, why: there is no such stage}",
        "{plan: smoke, value: p99, at_mots: 5, why: there is no such key}",
        "{plan: smoke, value: p99, at_most: '5', why: text is no number here}",
        "5",
    ],
)
def test_a_malformed_budget_is_refused(entry: str, tmp_path: Path) -> None:
    """A limit that would never bite is an error, not a limit."""
    (tmp_path / "budgets.yaml").write_text(f"- {entry}\n")
    with pytest.raises(budget.Malformed, match="budget 1"):
        budget.read(tmp_path / "budgets.yaml")
