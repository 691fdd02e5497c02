"""`tabserve retrain`: the newest labelled rows of the log become another version in MLflow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from bentos.audit.opened import open_log
from bentos.model.loading import LoadedModel
from bentos.records.drift import DriftResult
from bentos.records.opening import open_drift_log
from bentos.records.record import Record, Window
from bentos.training.retraining.command import TooLittle, _write
from tests.audit.logged import NOW, answer, make_id, run, store_of, write

Rows = list[dict[str, object]]
# Seconds of training, and no bar that 600 rows would miss.
SMALL = (
    "lightgbm.trials=2",
    "random_forest.trees=10",
    "evidence.reference_rows=100",
    "evidence.contribution_rows=50",
    "data.explore=false",
    "registry.minimum_auc=null",
)


def truth(record: Record) -> str:
    """What turned out: trees see it, and a straight line does not."""
    amount = record.values["amount"]
    return str(int(isinstance(amount, float) and abs(amount - 100) > 13))


@pytest.fixture
def labelled(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """600 answers, 500 of them with an outcome, and shadow rows of some."""
    made = answer(served["binary"], rows)
    shadows = [
        msgspec.structs.replace(
            one, id=make_id(one.time + timedelta(seconds=2), n), shadow=one.id, version="candidate"
        )
        for n, one in enumerate(made[:50])
    ]
    write(log, served["binary"], [*made, *shadows])
    store = store_of(log)
    store.write_outcomes([(one.id, truth(one), "r") for one in made[:500]])
    store.close()
    return made


def test_the_table_has_the_newest_labelled_answers(labelled: list[Record], tmp_path: Path) -> None:
    """Features by name, classes as they were before they became text, shadow rows left out."""
    table = tmp_path / "table.parquet"
    window = Window(model=labelled[0].model)
    with open_log(None) as opened:
        assert _write(opened, window, 200_000, 500, table) == 500
        assert _write(opened, window, 120, 100, table) == 120
        with pytest.raises(TooLittle, match=r"500 answers of .* have an outcome, 501 are needed"):
            _write(opened, window, 200_000, 501, tmp_path / "none.parquet")
    frame = pd.read_parquet(table)
    assert set(frame.columns) == {*labelled[0].values, "time", "outcome"}
    assert list(frame["time"]) == [one.time for one in labelled[380:500]]
    assert [str(each) for each in frame["outcome"]] == [truth(one) for one in labelled[380:500]]
    assert frame["outcome"].dtype != object


def test_a_model_is_registered(labelled: list[Record]) -> None:
    """What was trained on the log is in the registry, with its evidence."""
    name = labelled[0].model
    result = run("retrain", "from-the-log", "--logged-as", name, "--min-rows", "500", *SMALL)
    assert result.exit_code == 0, result.output
    assert "500 answers with an outcome" in result.output
    assert "registered from-the-log version 1 as champion" in result.output


def test_too_few_outcomes(labelled: list[Record]) -> None:
    """One line, and nothing is trained."""
    result = run("retrain", labelled[0].model)
    assert result.exit_code == 1
    assert "500 answers of" in result.output
    assert "1,000 are needed" in result.output


def test_only_where_the_drift_job_asks(labelled: list[Record], log: Path) -> None:
    """Without a signal nothing happens; with one, rows are looked for."""
    one = labelled[0]
    asked = ("retrain", one.model, "--if-signalled")
    assert run(*asked).output == "no signal: nothing to do\n"
    results = open_drift_log(f"sqlite:///{log}")
    results.prepare()
    for number, retraining in enumerate(("", "the scores drifted, 3 of 3 windows in a row")):
        results.write(
            DriftResult(
                run=f"run-{number}",
                time=NOW,
                job="tabserve_drift",
                model=one.model,
                version=one.version,
                outcome="drift",
                reason="",
                since=NOW - timedelta(days=1),
                until=NOW + timedelta(minutes=number),
                rows=600,
                sampled=600,
                seed=0,
                signal=True,
                retraining=retraining,
            )
        )
        result = run(*asked)
        if not retraining:
            assert result.output == "no signal: nothing to do\n"
    results.close()
    assert "the drift job asks for retraining: " in result.output
    assert "3 of 3 windows in a row" in result.output
    assert "1,000 are needed" in result.output
