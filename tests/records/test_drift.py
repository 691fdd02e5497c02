"""Drift results are kept beside the log, in every store alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from bentos.errors import ConfigurationError, StoreDown, StoreReadOnly
from bentos.records.drift import DriftLog, DriftResult, FeatureResult
from bentos.records.opening import open_drift_log, open_store
from bentos.records.store import Store
from tests.records.predictions import DAY, NOON

FEATURES = (
    FeatureResult("age", "numeric", "ks", 0.1 + 0.2, 5e-324, 0.3, True, 0.0),
    FeatureResult("region", "categorical", "chi_square", None, None, None, False, None),
)
RESULT = DriftResult(
    "run-1", NOON, "daily", "credit", "1", "drift", "age (ks)", NOON - DAY, NOON,
    1_000_000, 20_000, 1, True, "the scores drifted, 3 of 3 runs in a row", "weeks:4", 19_000,
    True, FEATURES,
)  # fmt: skip


def later(hours: int, **changes: object) -> DriftResult:
    """Another run over another window, both some hours later."""
    time = NOON + timedelta(hours=hours)
    whole = {"run": f"run-{hours + 1}", "time": time, "since": time - DAY, "until": time}
    return msgspec.structs.replace(RESULT, **(whole | changes))


@pytest.fixture
def results(url: str, store: Store) -> Iterator[DriftLog]:
    """The results beside an empty log of each kind."""
    log = open_drift_log(url)
    log.prepare()
    yield log
    log.close()


def test_a_result_comes_back_as_it_was(results: DriftLog) -> None:
    """Every field and feature comes back, numbers to the last bit and missing ones as missing."""
    results.write(RESULT)
    assert results.last("daily", "credit", "1", 5) == [RESULT]


def test_the_latest_come_first(results: DriftLog) -> None:
    """The last results of a job and version are given, the latest first, and no other's."""
    for hours in (1, 3, 0, 2):
        results.write(later(hours))
    results.write(later(9, version="2"))
    results.write(later(9, model="other"))
    results.write(later(9, job="weekly"))
    assert results.last("daily", "credit", "1", 2) == [later(3), later(2)]
    assert results.last("daily", "credit", "3", 2) == []


def test_runs_that_told_are_given_without_the_others(results: DriftLog) -> None:
    """However many could not tell, those that could come, the latest first, without features."""
    outcomes = ["drift", "no_drift", *["failed"] * 5, "drift", *["insufficient_data"] * 5]
    for hours, outcome in enumerate(outcomes):
        results.write(later(hours, outcome=outcome))
    results.write(later(20, job="weekly"))
    told = [(one.run, one.outcome) for one in results.conclusive("daily", "credit", "1")]
    assert told == [("run-8", "drift"), ("run-2", "no_drift"), ("run-1", "drift")]
    latest = next(results.conclusive("daily", "credit", "1"))
    assert latest == later(7, features=())
    results.write(later(30))


def test_an_old_window_run_again_stays_where_it_is(results: DriftLog) -> None:
    """Results are ordered by window; of one window the latest run comes first."""
    for hours in (0, 24, 48):
        results.write(later(hours))
    again = later(24, run="again", time=NOON + timedelta(days=9))
    results.write(again)
    runs = [one.run for one in results.last("daily", "credit", "1", 9)]
    assert runs == ["run-49", "again", "run-25", "run-1"]
    until = NOON + timedelta(hours=24)
    assert [one.run for one in results.last("daily", "credit", "1", 1, until)] == ["again"]
    conclusive = results.conclusive("daily", "credit", "1", until)
    assert [one.run for one in conclusive] == ["again", "run-25", "run-1"]


def test_a_log_without_results_can_be_looked_at(url: str, store: Store) -> None:
    """A reader changes nothing, and finds that there is no result yet."""
    log = open_drift_log(url)
    log.check()
    assert log.last("daily", "credit", "1", 5) == []
    assert list(log.conclusive("daily", "credit", "1")) == []


def test_results_of_before_are_read(tmp_path: Path, make_url: Callable[[str], str]) -> None:
    """SQLite's table and Parquet's files of an older version: read as they are, then updated."""
    import sqlite3

    store = open_store(f"sqlite:///{tmp_path}/old.db")
    store.prepare()
    store.close()
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.execute(
            "CREATE TABLE drift_runs (run TEXT, time_ms INTEGER, job TEXT, model TEXT, "
            "version TEXT, outcome TEXT, reason TEXT, since_ms INTEGER, until_ms INTEGER, "
            "row_count INTEGER, sampled INTEGER, seed INTEGER, signal INTEGER, retraining TEXT, "
            "PRIMARY KEY (model, version, run)) STRICT, WITHOUT ROWID"
        )
        connection.execute(
            "INSERT INTO drift_runs VALUES ('old', 5, 'daily', 'credit', '1', 'drift', '', 1, 4, "
            "9, 9, 1, 1, '')"
        )
        connection.commit()
    results = open_drift_log(f"sqlite:///{tmp_path}/old.db")
    results.check()
    (old,) = results.conclusive("daily", "credit", "1")
    assert (old.reference, old.distinct, old.accepted) == ("training", 0, False)
    results.prepare()
    results.write(RESULT)
    assert [one.run for one in results.last("daily", "credit", "1", 5)] == ["run-1", "old"]
    folder = make_url("parquet").partition(":")[2]
    open_store(f"parquet:{folder}").prepare()
    files = open_drift_log(f"parquet:{folder}")
    files.prepare()
    files.write(RESULT)
    (path,) = Path(folder).glob("drift/*/*.json")
    document = msgspec.json.decode(path.read_bytes())
    for name in ("reference", "distinct", "accepted"):
        del document[name]
    path.unlink()
    name = f"{int(NOON.timestamp() * 1000):013d}-{'0' * 16}.json"
    path.with_name(name).write_bytes(msgspec.json.encode(document))
    files.write(later(-24))
    (latest, older) = files.last("daily", "credit", "1", 5)
    assert (latest.run, latest.reference, older.run) == ("run-1", "training", "run--23")


def test_what_cannot_be_written_is_said_before_anything_is_compared(
    tmp_path: Path, make_url: Callable[[str], str], open_log: Callable[[str], Store]
) -> None:
    """A read-only file, folder and role: preparing says so, and checking reads."""
    import psycopg

    url = make_url("postgresql")
    open_log(url).close()
    with psycopg.connect(url, autocommit=True) as owner:
        name = owner.info.dbname
        owner.execute(
            "ALTER DATABASE " + owner.info.dbname + " SET default_transaction_read_only = on"
        )
    try:
        results = open_drift_log(url)
        with pytest.raises(StoreReadOnly, match="write no drift results"):
            results.prepare()
        results.check()
        assert results.last("daily", "credit", "1", 5) == []
    finally:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("SET default_transaction_read_only = off")
            owner.execute(f"ALTER DATABASE {name} RESET ALL".encode())


def test_a_run_is_stored_once(results: DriftLog) -> None:
    """Writing a run of a version again changes nothing; it may have several versions."""
    results.write(RESULT)
    results.write(msgspec.structs.replace(RESULT, outcome="no_drift"))
    results.write(msgspec.structs.replace(RESULT, version="2"))
    assert results.last("daily", "credit", "1", 5) == [RESULT]
    assert results.last("daily", "credit", "2", 5) == [msgspec.structs.replace(RESULT, version="2")]


def test_preparing_twice_changes_nothing(url: str, results: DriftLog) -> None:
    """Each run of the job prepares anew."""
    results.write(RESULT)
    again = open_drift_log(url)
    again.prepare()
    assert again.last("daily", "credit", "1", 5) == [RESULT]


@pytest.mark.parametrize("kind", ["sqlite:///{}/none.db", "parquet:{}/none"])
def test_no_log_is_made_where_there_is_none(kind: str, tmp_path: Path) -> None:
    """A job that looks in the wrong place is told so, and leaves nothing there."""
    with pytest.raises(StoreDown, match="there is no log"):
        open_drift_log(kind.format(tmp_path)).prepare()
    assert list(tmp_path.iterdir()) == []


def test_another_url_is_refused() -> None:
    """The error says what a URL may be, and repeats nothing of it."""
    with pytest.raises(ConfigurationError, match="no place for them") as caught:
        open_drift_log("mysql://user:secret@host/log")
    assert "secret" not in str(caught.value)


def test_the_job_needs_no_more_than_its_role(
    make_url: Callable[[str], str], open_log: Callable[[str], Store]
) -> None:
    """A member of tabserve_drift reads and adds results, and can change none."""
    import psycopg

    url = make_url("postgresql")
    open_log(url)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SET ROLE tabserve_drift")
        owner.execute("SELECT * FROM tabserve.drift_runs")
        owner.execute(
            "INSERT INTO tabserve.drift_runs SELECT 'r', now(), 'j', 'm', 'v', 'drift', '', now(), "
            "now(), 1, 1, 1, true, ''"
        )
        for statement in (
            "UPDATE tabserve.drift_runs SET run = ''",
            "TRUNCATE tabserve.drift_runs",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(statement)
