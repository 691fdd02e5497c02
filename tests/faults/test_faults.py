"""Three of the faults, in short; `make test-faults` does all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bentos.model import bundle
from bentos.model.intake import importing
from tests.faults import processes
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault
from tests.faults.load import Asked
from tests.faults.trial import Seen, judge, run
from tests.records.postgresql import Server as PostgreSQL
from tests.service.checks import rows_of

SHORT = (
    "kill -9 of the database",
    "one of two workers frozen (SIGSTOP)",
    "kill -9 of what delivers a worker's log",
)


@pytest.fixture(scope="module")
def tag(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that is ready at once: it has no golden rows."""
    copy = tmp_path_factory.mktemp("faults") / "model"
    shutil.copytree(folders["binary"], copy)
    (copy / bundle.FOLDER / bundle.GOLDEN).unlink()
    return str(importing.import_model(str(copy), name="faults").tag)


@pytest.mark.parametrize("name", SHORT)
def test_promise_is_kept(name: str, tag: str, server: PostgreSQL, frame: pd.DataFrame) -> None:
    """What is promised for the fault holds, under load, with PostgreSQL."""
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    row: dict[str, Any] = rows_of(frame.head(1))[0]
    outcome = run(fault._replace(seconds=2.0), "postgresql", tag, row, server)
    assert not outcome.broken, outcome


def _kept(count: int = 40) -> Seen:
    asked = [Asked(second, second + 0.01, 200, f"row {second}") for second in range(count)]
    logged = [f"row {second}" for second in range(count)]
    return Seen(asked, 10, 10, 20, 30, True, 1.0, logged, 0)


def _lose(seen: Seen, *seconds: int) -> Seen:
    return seen._replace(logged=[f"row {n}" for n in range(40) if n not in seconds])


def _answer(seen: Seen, second: int, status: int, seconds: float = 0.01) -> Seen:
    asked = list(seen.asked)
    asked[second] = asked[second]._replace(status=status, ended=second + seconds)
    return seen._replace(asked=asked)


PROMISE = Fault("", "", processes.kill_worker, prompt=1.0)
LOSING = PROMISE._replace(may_lose_seconds=1.0)
COUNTED = PROMISE._replace(may_lose_seconds=None)


def test_kept_promise() -> None:
    """What was promised, and the losses that a promise allows, are no breach."""
    assert judge(PROMISE, _kept()) == []
    assert judge(LOSING, _lose(_kept(), 10)) == []
    assert judge(COUNTED, _lose(_kept(), 12, 13)._replace(dropped=2)) == []


@pytest.mark.parametrize(
    ("fault", "seen", "said"),
    [
        (PROMISE, _kept()._replace(has_held=False), "did not take hold"),
        (PROMISE, _answer(_kept(), 15, 503), "only 91% answered 200"),
        (PROMISE, _answer(_kept(), 15, 0, 15.0), "only 91% answered 200"),
        (PROMISE, _answer(_kept(), 15, 200, 1.5), "only 91% answered within a second"),
        (PROMISE, _kept(5), "only 0% answered 200"),
        (PROMISE, _answer(_kept(), 35, 503), "not all answered after"),
        (PROMISE, _kept()._replace(recovery_seconds=None), "not well"),
        (PROMISE, _kept()._replace(logged=[*_kept().logged, "row 3"]), "twice"),
        (PROMISE, _lose(_kept(), 15), "1 rows missing"),
        (LOSING, _lose(_kept(), 5), "1 rows missing from before the fault"),
        (LOSING._replace(per_second=1), _lose(_kept(), 12, 13), "2 rows missing"),
        (COUNTED, _lose(_kept(), 15), "1 rows missing, 0 counted"),
        (COUNTED, _kept()._replace(dropped=1), "0 rows missing, 1 counted"),
    ],
)
def test_broken_promise(fault: Fault, seen: Seen, said: str) -> None:
    """Every part of a promise can be found broken."""
    assert any(said in broken for broken in judge(fault, seen)), judge(fault, seen)
