"""Every answer is in the prediction log, whatever becomes of the store and the server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bentos.errors import Problem, StoreDown
from bentos.records.postgres.store import PostgresStore
from bentos.records.record import Record, Window
from bentos.records.sqlite.store import SqliteStore
from bentos.records.subject import read_keys
from bentos.serving.http import Request, read_subject
from tests.records.postgresql import Server as PostgreSQL
from tests.service.checks import (
    UUID7,
    assert_no_name_of_ours,
    assert_problem,
    series_of,
    total_of,
    value_of,
)
from tests.service.driver import ROOT, Answer, App, serving
from tests.service.process import PATIENCE_SECONDS, Server, free_port, read_answer, server

KEY = f"2026:{'ab' * 32}"
SUBJECT = "Ms. 4711/0815"
JSON = {"content-type": "application/json"}


def read_log(data: Path) -> list[Record]:
    """All rows of the log below a data directory."""
    with closing(SqliteStore(data / "records.db")) as store:
        return list(store.read(Window()))


def await_rows(data: Path, ids: list[str]) -> dict[str, Record]:
    """Wait until the log has so many predictions; give them by id."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # The worker may be making its tables at this moment.
        with contextlib.suppress(StoreDown), closing(SqliteStore(data / "records.db")) as store:
            present = {one: record for one in ids if (record := store.get(one)) is not None}
            if len(present) == len(ids):
                return present
        assert time.monotonic() < deadline
        time.sleep(0.05)


def await_one(app: App, answer: Answer) -> Record:
    """The record of an answer to one row."""
    one: str = answer.json()["id"]
    return await_rows(app.data, [one])[one]


# ---- what is recorded


def test_an_answer_and_its_record_are_the_same(app: App, rows: list[dict[str, Any]]) -> None:
    """Id, request, score, label, model and values are those of the answer, to the last bit."""
    for number, row in enumerate(rows[:10]):
        headers = {**JSON, "x-request-id": f"log-{number}"}
        answer = app.request("POST", "/v1/predict", json.dumps(row).encode(), headers=headers)
        document = answer.json()
        record = await_one(app, answer)
        assert record.request_id == f"log-{number}"
        assert (record.score, record.label) == (document["score"], str(document["label"]))
        assert {"name": record.model, "version": record.version} == document["model"]
        assert record.values == row
        assert (record.threshold, record.subject) == (0.4, None)
        warned = [{"pointer": one.pointer, "code": one.code} for one in record.warnings]
        told = document.get("warnings", [])
        assert warned == [{"pointer": one["pointer"], "code": one["code"]} for one in told]
        timing = answer.headers["server-timing"]
        stages = {
            part.split(";dur=")[0].strip(): float(part.split("=")[1]) for part in timing.split(",")
        }
        assert record.decode_us == pytest.approx(stages["decode"] * 1e3, abs=2)
        assert record.predict_us == pytest.approx(stages["predict"] * 1e3, abs=2)


def test_a_request_without_an_id(app: App, row: dict[str, Any]) -> None:
    """The request id in the log is the one that the client was given."""
    answer = app.post("/v1/predict", row)
    assert await_one(app, answer).request_id == answer.headers["x-request-id"]


def test_the_model_is_registered(app: App, row: dict[str, Any]) -> None:
    """The log knows the contract and the environment of what it recorded."""
    record = await_one(app, app.post("/v1/predict", row))
    with closing(SqliteStore(app.data / "records.db")) as store:
        registration = store.registration(record.model, record.version)
        environment = store.environment(record.environment)
    described = app.get("/v1/model").json()
    assert registration is not None and environment is not None
    assert registration.contract == record.contract == described["contract_hash"]
    assert json.loads(bytes(environment.document))["engine"] == described["engine"]
    assert registration.reference is not None


def test_a_batch_records_what_was_scored(app: App, rows: list[dict[str, Any]]) -> None:
    """Of a batch with errors in their places only the scored rows are in the log."""
    instances: list[Any] = [{}, rows[0], 7, rows[1], {**rows[2], "count": "x"}, rows[3]]
    answer = app.post("/v1/predict/batch", {"instances": instances})
    predictions = answer.json()["predictions"]
    good = [one for one in predictions if "error" not in one]
    found = await_rows(app.data, [one["id"] for one in good])
    assert [found[one["id"]].values for one in good] == [rows[0], rows[1], rows[3]]
    for one in good:
        record = found[one["id"]]
        assert (record.score, record.label) == (one["score"], str(one["label"]))
        assert record.request_id == answer.headers["x-request-id"]
    same_request = [one for one in read_log(app.data) if one.request_id == record.request_id]
    assert len(same_request) == 3


def test_what_is_refused_is_not_recorded(app: App, rows: list[dict[str, Any]]) -> None:
    """A refused row, batch or body leaves nothing in the log."""
    headers = {**JSON, "x-request-id": "refused"}
    bodies = [
        ("/v1/predict", b"{", ""),
        ("/v1/predict", json.dumps({**rows[0], "count": "x"}).encode(), ""),
        ("/v1/predict/batch", json.dumps({"instances": [rows[0], {}]}).encode(), "on_error=reject"),
        ("/v1/predict/batch", json.dumps({"instances": [{}, []]}).encode(), ""),
    ]
    for path, body, query in bodies:
        app.request("POST", path, body, headers=headers, query=query)
    await_one(app, app.post("/v1/predict", rows[0]))
    assert not [one for one in read_log(app.data) if one.request_id == "refused"]


def test_the_largest_batch(app: App, rows: list[dict[str, Any]]) -> None:
    """10,000 rows, the most that a request may have, are all in the log, once each."""
    answer = app.post("/v1/predict/batch", {"instances": rows * 50})
    predictions = answer.json()["predictions"]
    request_id = answer.headers["x-request-id"]
    await_rows(app.data, [predictions[0]["id"], predictions[-1]["id"]])
    found = {one.id: one for one in read_log(app.data) if one.request_id == request_id}
    assert found.keys() == {one["id"] for one in predictions}
    assert [found[one["id"]].score for one in predictions] == [one["score"] for one in predictions]


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_tasks(kind: str, quick: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Each class's probability, or the value alone, is what was answered."""
    with serving(quick[kind]) as app:
        predictions = app.post("/v1/predict/batch", {"instances": rows}).json()["predictions"]
        found = await_rows(app.data, [one["id"] for one in predictions])
    for one in predictions:
        record = found[one["id"]]
        assert record.scores == one.get("scores")
        assert record.score == one.get("score")
        assert record.label == one.get("label")


def test_only_listed_features(quick: dict[str, str], row: dict[str, Any]) -> None:
    """TABSERVE_STORE_FEATURES: the others are nowhere on the disk."""
    with serving(quick["binary"], store_features="colour, count") as app:
        answer = app.post("/v1/predict", {**row, "amount": 123456.789012})
        assert await_one(app, answer).values == {"colour": row["colour"], "count": row["count"]}
        assert b"123456.789012" not in b"".join(
            path.read_bytes() for path in app.data.rglob("*") if path.is_file()
        )


# ---- whom it is about


@pytest.fixture(scope="module")
def keyed(quick: dict[str, str]) -> Iterator[App]:
    """The service with a key for subjects."""
    with serving(quick["binary"], subject_keys=KEY) as app:
        yield app


def test_a_subject_is_a_token(keyed: App, row: dict[str, Any]) -> None:
    """X-Subject is in the log as its token, on both routes, and nowhere as it was sent."""
    headers = {**JSON, "x-subject": SUBJECT}
    single = keyed.request("POST", "/v1/predict", json.dumps(row).encode(), headers=headers)
    body = json.dumps({"instances": [row, row]}).encode()
    batch = keyed.request("POST", "/v1/predict/batch", body, headers=headers)
    ids = [single.json()["id"], *(one["id"] for one in batch.json()["predictions"])]
    keys = read_keys(KEY)
    assert keys is not None
    for record in await_rows(keyed.data, ids).values():
        assert (record.subject_key, record.subject) == keys.token(SUBJECT)
    on_disk = b"".join(path.read_bytes() for path in keyed.data.rglob("*") if path.is_file())
    assert SUBJECT.encode() not in on_disk
    assert await_one(keyed, keyed.post("/v1/predict", row)).subject is None


@pytest.mark.parametrize(
    "given", ["", " ", " a", "a ", "a\tb", "größe", "a" * 257, "a\x7f", "\x00"]
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch"])
def test_a_malformed_subject(keyed: App, row: dict[str, Any], path: str, given: str) -> None:
    """A subject that another client could spell in another way is 400, and not repeated."""
    headers = {**JSON, "x-subject": given}
    document: object = row if path == "/v1/predict" else {"instances": [row]}
    answer = keyed.request("POST", path, json.dumps(document).encode(), headers=headers)
    problem = assert_problem(answer, 400, "bad-header")
    assert_no_name_of_ours(answer.body)
    assert problem["detail"] == "X-Subject must have 1 to 256 visible ASCII characters"


async def test_a_subject_sent_twice() -> None:
    """Of two subjects neither is taken: the request is 400."""
    twice = [(b"x-subject", b"one"), (b"x-subject", b"two")]
    scope = {"headers": twice, "type": "http"}

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    with pytest.raises(Problem, match="may be sent once"):
        read_subject(Request(scope, receive))


@pytest.mark.parametrize("given", ["a", "!", "a" * 256, "a b", "'; DROP TABLE scored; --", "%00"])
def test_a_subject_of_any_visible_characters(keyed: App, row: dict[str, Any], given: str) -> None:
    """Any visible text of up to 256 characters is a subject."""
    headers = {**JSON, "x-subject": given}
    answer = keyed.request("POST", "/v1/predict", json.dumps(row).encode(), headers=headers)
    assert answer.status == 200


# ---- what operators see


def test_metrics(quick: dict[str, str], row: dict[str, Any]) -> None:
    """Rows taken, written and lost, depth, capacity, age, bytes and writes are exported."""
    with serving(quick["binary"], store_buffer_rows=1024) as app:
        app.post("/v1/predict/batch", {"instances": [row] * 1000})
        # More than the buffer holds: answered all the same, and counted.
        assert app.post("/v1/predict/batch", {"instances": [row] * 1025}).status == 200
        one = app.post("/v1/predict", row).json()["id"]
        await_rows(app.data, [one])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            series = series_of(app.get("/metrics").body)
            if value_of(series, "tabserve_log_rows_written_total") == 1001:
                break
            assert time.monotonic() < deadline
        last = series_of(app.get("/metrics").body)
    assert value_of(series, "tabserve_log_rows_enqueued_total") == 1001
    lost = {
        dict(labels)["reason"]: value
        for (name, labels), value in series.items()
        if name == "tabserve_log_rows_dropped_total"
    }
    assert lost.pop("buffer_full") == 1025
    assert lost == dict.fromkeys(("spool_full", "refused", "stopped", "failed", "unreadable"), 0)
    assert value_of(series, "tabserve_log_queue_capacity_rows") == 1024
    assert value_of(last, "tabserve_log_queue_rows") == 0
    assert value_of(last, "tabserve_log_spool_bytes") == 0
    assert value_of(last, "tabserve_log_oldest_age_seconds") == 0
    assert value_of(last, "tabserve_log_write_duration_seconds_count") >= 1


def test_none_records_nothing(quick: dict[str, str], row: dict[str, Any]) -> None:
    """TABSERVE_STORE_URL=none: answers as ever, no file, no rows counted."""
    with serving(quick["binary"], store_url="none") as app:
        headers = {**JSON, "x-subject": "somebody"}
        answer = app.request("POST", "/v1/predict", json.dumps(row).encode(), headers=headers)
        assert answer.status == 200
        assert UUID7.fullmatch(answer.json()["id"])
        series = series_of(app.get("/metrics").body)
        assert value_of(series, "tabserve_log_rows_enqueued_total") == 0
        assert list(app.data.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"TABSERVE_STORE_URL": "mysql://user:s3cret@host/db"},
            "tabserve: the store URL must be sqlite:///PATH, postgresql://..., "
            "parquet:PATH_OR_URL or none",
        ),
        (
            {"TABSERVE_SUBJECT_KEYS": "k:5ec3e7"},
            "tabserve: subject key 1 must be ID:HEX, at least 64 digits: "
            "`openssl rand -hex 32` makes one",
        ),
    ],
    ids=["url", "keys"],
)
def test_a_malformed_setting_stops_the_start(
    setting: dict[str, str], said: str, quick: dict[str, str], tmp_path: Path
) -> None:
    """A log that cannot be meant so: one line without the value, no trace, exit 1."""
    ended = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", ".", "--port", str(free_port())],
        cwd=ROOT,
        env={
            **os.environ,
            "TABSERVE_MODEL": quick["binary"],
            "TABSERVE_DATA_DIR": str(tmp_path / "data"),
            **setting,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert (ended.stdout + ended.stderr).splitlines() == [said]
    assert not (tmp_path / "data").exists()


# ---- what becomes of the server


class Load:
    """Clients that ask on and on, until they are refused or told to end.

    `answered`: the id of each row that was answered with 200, and when.
    """

    def __init__(self, port: int, row: dict[str, Any], clients: int = 4) -> None:
        self._port = port
        self._bodies = [
            ("/v1/predict", json.dumps(row).encode()),
            ("/v1/predict/batch", json.dumps({"instances": [row, {}, row]}).encode()),
        ]
        self._is_over = threading.Event()
        self.answered: dict[str, float] = {}
        self.statuses: set[int] = set()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            with closing(connection):
                try:
                    self._ask_on(connection)
                except ConnectionRefusedError:
                    return
                except (http.client.HTTPException, OSError):
                    # Cut off: what was not answered need not be in the log.
                    continue

    def _ask_on(self, connection: http.client.HTTPConnection) -> None:
        while not self._is_over.is_set():
            for path, body in self._bodies:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = read_answer(connection)
                now = time.monotonic()
                self.statuses.add(answer.status)
                if answer.status == 200:
                    document = answer.json()
                    for one in document.get("predictions", [document]):
                        if "error" not in one:
                            self.answered[one["id"]] = now
                if answer.headers.get("connection") == "close":
                    return

    def wait_for(self, more: int) -> None:
        """Wait until so many rows more are answered."""
        enough = len(self.answered) + more
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.answered) < enough:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> dict[str, float]:
        """Wait for the clients; only good answers, and all of them, are given."""
        self._is_over.set()
        self.wait()
        assert self.statuses <= {200}
        return self.answered

    def wait(self) -> None:
        """Wait until all are refused."""
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], 30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Another process holds a SQLite file's lock for some seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path), str(seconds)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield


def kill_all(started: Server) -> float:
    """Kill the server and its workers as a machine does that runs out of memory; say when."""
    workers = started.workers()
    now = time.monotonic()
    for pid in (started.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    started.process.wait(PATIENCE_SECONDS)
    return now


def test_a_locked_store_and_a_stop_under_load(
    quick: dict[str, str], row: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever was answered is in the store once after SIGTERM, though it was locked meanwhile."""
    settings = {"TABSERVE_MODEL": quick["binary"], "TABSERVE_WORKERS": "2"}
    with server(tmp_path, **settings) as started:
        started.wait_until_ready(workers=2)
        load = Load(started.port, row)
        load.wait_for(100)
        with locked(started.data / "records.db", 2.0):
            load.wait_for(300)
        load.wait_for(100)
        assert started.stop() == 0
        load.wait()
        assert load.statuses == {200}
        ids = [record.id for record in read_log(started.data)]
        assert len(ids) == len(set(ids))
        assert set(ids) >= load.answered.keys()
        assert not list((started.data / "spool").glob("*/*"))
        assert [line for line in started.worker_lines() if line["level"] == "error"] == []


def test_a_stop_under_load_with_postgresql(
    quick: dict[str, str], row: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever was answered is in PostgreSQL once after SIGTERM, though it was away meanwhile."""
    with closing(PostgreSQL()) as database:
        url = database.make_database()
        settings = {"TABSERVE_MODEL": quick["binary"], "TABSERVE_WORKERS": "2"}
        with server(tmp_path, TABSERVE_STORE_URL=url, **settings) as started:
            started.wait_until_ready(workers=2)
            load = Load(started.port, row)
            load.wait_for(100)
            database.stop()
            load.wait_for(300)
            database.start()
            load.wait_for(100)
            assert started.stop() == 0
            load.wait()
            assert load.statuses == {200}
            with closing(PostgresStore(url)) as store:
                ids = [record.id for record in store.read(Window())]
            assert len(ids) == len(set(ids))
            assert set(ids) >= load.answered.keys()
            assert not list((started.data / "spool").glob("*/*"))


def test_no_store_then_a_kill_then_the_next_start(
    quick: dict[str, str], row: dict[str, Any], tmp_path: Path
) -> None:
    """A store that never was, a stop, a kill under load: the next starts deliver the rows."""
    settings = {
        "TABSERVE_MODEL": quick["binary"],
        "TABSERVE_WORKERS": "2",
        "TABSERVE_DATA_DIR": str(tmp_path / "data"),
    }
    unreachable = f"postgresql://tabserve:s3cret@127.0.0.1:{free_port()}/log"
    with server(tmp_path, TABSERVE_STORE_URL=unreachable, **settings) as first:
        first.wait_until_ready(workers=2)
        load = Load(first.port, row)
        load.wait_for(300)
        answered = dict(load.end())

        def rises() -> bool:
            seen = [series_of(first.request("GET", "/metrics").body) for _ in range(2)]
            time.sleep(0.3)
            seen.append(series_of(first.request("GET", "/metrics").body))
            age = "tabserve_log_oldest_age_seconds"
            return (
                total_of(seen[0], "tabserve_log_queue_rows") == len(answered)
                and total_of(seen[0], "tabserve_log_spool_bytes") > 100 * len(answered)
                and total_of(seen[2], age) > total_of(seen[0], age) > 0
                and total_of(seen[0], "tabserve_log_rows_written_total") == 0
                and total_of(seen[0], "tabserve_log_rows_dropped_total") == 0
            )

        first.wait_for(rises)
        assert first.request("GET", "/readyz").status == 200
        began = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - began < 25
        behind = [
            line
            for line in first.worker_lines()
            if line["message"] == "the prediction log stopped behind"
        ]
        assert sum(line["spooled"] for line in behind) == len(answered)
        assert sum(line["lost"] for line in behind) == 0
        assert "s3cret" not in first.log.read_text()
    with server(tmp_path, **settings) as second:
        second.wait_until_ready(workers=2)
        await_all(tmp_path / "data", set(answered))
        # Nothing gets into the store, so that the spool has the rows.
        with locked(tmp_path / "data" / "records.db", 3.0):
            load = Load(second.port, row)
            time.sleep(2.5)
            killed = kill_all(second)
        load.wait()
    with server(tmp_path, **settings) as third:
        third.wait_until_ready(workers=2)
        kept = {one for one, when in load.answered.items() if when < killed - 1.0}
        await_all(tmp_path / "data", kept | set(answered))
        assert third.stop() == 0
    ids = [record.id for record in read_log(tmp_path / "data")]
    assert len(ids) == len(set(ids))
    assert not list((tmp_path / "data" / "spool").glob("*/*"))
    # The load ran for far longer than a flush takes.
    assert len(kept) > 100


def await_all(data: Path, ids: set[str]) -> None:
    """Wait until a log has all of these predictions."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(StoreDown):
            if ids <= {record.id for record in read_log(data)}:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)
