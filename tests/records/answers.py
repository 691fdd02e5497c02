"""Answers on their way into the log, and stores with faults, for the tests of that way."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
from uuid_utils import uuid7

from bentos.errors import StoreDown
from bentos.logs import LOGGER
from bentos.model.contract import Category, Contract, Feature, dump
from bentos.model.scoring import Scored
from bentos.model.tables import table as tables
from bentos.model.validation import EncodedRow
from bentos.records.record import Environment, Record, Registration, Window, encode_lines
from bentos.records.sqlite.store import SqliteStore
from bentos.records.writer.scored_request import ScoredRequest, ScoredTable
from bentos.records.writer.spool.packing import Packer, Storable
from bentos.records.writer.spool.segment import LINES, Segment
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool
from bentos.records.writer.spool.unpacking import Unpacker

PATIENCE_SECONDS = 60.0

CONTRACT = Contract(
    features=(
        Feature("amount", "float", "double"),
        Feature("colour", "category", "string", categories=("blue", "green", "red")),
    ),
    task="binary",
    engine="booster",
    classes=(0, 1),
    threshold=0.4,
)
ROW: EncodedRow = (1.5, 1.0)
STORED_ROW = b'{"amount":1.5,"colour":"green"}'


def served(contract: Contract = CONTRACT, version: str = "1") -> RecordSource:
    """A model version and an environment, as a worker knows them."""
    registration = Registration(
        "credit", version, contract.hash, msgspec.Raw(dump(contract)), "sha256:0"
    )
    return RecordSource(registration, Environment("e", msgspec.Raw(b"{}")))


SERVED = served()


def answered(rows: int = 1, subject: str | None = None) -> ScoredRequest:
    """The rows of one request, scored at this moment."""
    return ScoredRequest(
        "request-1",
        [str(uuid7()) for _ in range(rows)],
        [ROW] * rows,
        [Scored(0.5, None, 1)] * rows,
        subject,
    )


def by_column(one: ScoredRequest, contract: Contract = CONTRACT) -> ScoredTable:
    """The same rows by column, as a request of many rows hands them over."""
    classes = list(contract.classes or ())
    return ScoredTable(
        one.request_id,
        np.array([name.encode() for name in one.ids]),
        tables.of_rows(contract, one.rows, [[]] * len(one.ids)),
        np.array([row.score if row.scores is None else row.scores for row in one.scored]),
        np.array([_place_of(row.label, classes) for row in one.scored]) if classes else None,
        {place: row.warnings for place, row in enumerate(one.scored) if row.warnings},
        one.subject,
        one.stages,
        one.consumer,
        one.answers,
        one.reasons,
    )


def _place_of(label: Category | None, classes: list[Category]) -> int:
    # 1 and True are equal, and two classes.
    return next(
        place
        for place, one in enumerate(classes)
        if one == label and isinstance(one, bool) == isinstance(label, bool)
    )


def stored_features(
    contract: Contract, rows: Sequence[EncodedRow], listed: Sequence[str] | None = None
) -> list[bytes]:
    """The features of rows as they are stored: those that go alone, and by column the same."""
    one = served(contract)
    packer = Packer(contract, one.registration, Storable(listed))
    source = RecordSource(
        one.registration, one.environment, None if listed is None else tuple(listed)
    )
    label = (contract.classes or (None,))[0]
    answer = ScoredRequest(
        "r", answered(len(rows)).ids, rows, [Scored(0.5, None, label)] * len(rows)
    )
    first, second = (
        [
            bytes(record.features)
            for request in Unpacker(source).unpack(bytes(packer.pack([each]).data))
            for record in request.records()
        ]
        for each in (answer, by_column(answer, contract))
    )
    assert first == second
    return first


def put(spool: Spool, records: Sequence[Record]) -> Segment:
    """Write any records into a spool, as an earlier tabserve did."""
    data = encode_lines(records)
    return Segment(
        None,
        rows=len(records),
        first_id=records[0].id,
        source=SERVED,
        path=spool.write(data, LINES),
        size=len(data),
        ending=LINES,
    )


def read_log(path: Path) -> list[Record]:
    """Everything that a SQLite log holds; nothing where there is no log yet."""
    if not path.is_file():
        return []
    with closing(SqliteStore(path)) as store:
        try:
            return list(store.read(Window()))
        except StoreDown:
            # Its tables are being made.
            return []


def ids_of(records: Sequence[Record]) -> list[str]:
    """The ids of records, in their order."""
    return [record.id for record in records]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def bytes_below(folder: Path) -> bytes:
    """All that the files below a folder hold."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@contextmanager
def listening() -> Iterator[list[logging.LogRecord]]:
    """What is logged meanwhile, whatever a service in this process has set up."""
    heard: list[logging.LogRecord] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record)

    ear, level = Ear(), LOGGER.level
    LOGGER.addHandler(ear)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        LOGGER.removeHandler(ear)
        LOGGER.setLevel(level)


def messages(heard: Sequence[logging.LogRecord], level: int = logging.WARNING) -> list[str]:
    """The messages from a level on."""
    return [record.getMessage() for record in heard if record.levelno >= level]


@contextmanager
def down(path: Path) -> Iterator[None]:
    """A SQLite log that cannot be opened: a folder is where its file should be."""
    path.mkdir(parents=True)
    yield
    path.rmdir()


@contextmanager
def broken(path: Path) -> Iterator[None]:
    """A SQLite log that is there and cannot be written: its table has another name."""
    with closing(sqlite3.connect(path, timeout=PATIENCE_SECONDS)) as connection:
        connection.execute("ALTER TABLE blocks RENAME TO elsewhere")
        yield
        connection.execute("ALTER TABLE elsewhere RENAME TO blocks")


class Watched:
    """Makes SQLite stores that note what is asked of them, and may be down or hang.

    `calls`: `prepare`, `register`, or the ids of a write with whether it was a retry.
    """

    def __init__(self, path: Path, *, gather_seconds: float = 0.0, max_rows: int = 4096) -> None:
        self.path = path
        self.gather_seconds = gather_seconds
        self.max_rows = max_rows
        self.calls: list[str | tuple[list[str], bool]] = []
        self.is_down = False
        # Cleared, it holds up every write.
        self.may_write = threading.Event()
        self.may_write.set()

    def __call__(self) -> SqliteStore:
        return _WatchedStore(self)

    @property
    def writes(self) -> list[tuple[list[str], bool]]:
        """The ids of each write, and whether it was a retry."""
        return [call for call in self.calls if not isinstance(call, str)]


class _WatchedStore(SqliteStore):
    def __init__(self, watched: Watched) -> None:
        super().__init__(watched.path)
        self._watched = watched
        self.gather_seconds = watched.gather_seconds
        self.max_rows = watched.max_rows

    def _note(self, call: str | tuple[list[str], bool]) -> None:
        self._watched.calls.append(call)
        if self._watched.is_down:
            raise StoreDown("switched off")

    def prepare(self) -> None:
        self._note("prepare")
        super().prepare()

    def register(self, registration: Registration, environment: Environment) -> None:
        self._note("register")
        super().register(registration, environment)

    def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
        self._note((ids_of(records), is_retry))
        self._watched.may_write.wait()
        super().write(records, is_retry=is_retry)
