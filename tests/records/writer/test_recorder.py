"""The request path's side of the log: what becomes of an answer, and what it costs nobody."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from bentos.model.contract import Contract, Feature, load
from bentos.model.frame import FeatureWarning
from bentos.model.json_rows import RowReader
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow, Encoder
from bentos.records.record import Record, RecordedWarning
from bentos.records.sqlite.store import SqliteStore
from bentos.records.subject import Keys, read_keys
from bentos.records.writer import recorder as module
from bentos.records.writer.delivery.counts import Counts, DropReason
from bentos.records.writer.delivery.delivery import Delivery
from bentos.records.writer.recorder import Recorder, State
from bentos.records.writer.scored_request import ScoredRequest
from bentos.records.writer.spool.packing import Packer, Storable
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool
from tests.records.answers import (
    CONTRACT,
    ROW,
    SERVED,
    STORED_ROW,
    answered,
    bytes_below,
    down,
    ids_of,
    listening,
    messages,
    read_log,
    served,
    stored_features,
    wait_until,
)
from tests.rows import ENCODED, GOOD, PLAIN, WIDE, contract_of, good_rows

KEYS = Keys({"new": b"n" * 32, "old": b"o" * 32})
SUBJECT = "José's number 4711 0815"


@contextmanager
def recording(
    folder: Path,
    contract: Contract = CONTRACT,
    *,
    buffer_rows: int = 100_000,
    spool_bytes: int = 2**30,
    listed: list[str] | None = None,
    keys: Keys | None = None,
) -> Iterator[Recorder]:
    """A recorder on a SQLite log; its threads are not started."""
    one = served(contract)
    source = RecordSource(
        one.registration, one.environment, None if listed is None else tuple(listed)
    )
    spool, counts = Spool(folder / "spool", spool_bytes, source), Counts()
    made = Recorder(
        source,
        Packer(contract, source.registration, Storable(listed, keys)),
        spool,
        Delivery(
            lambda: SqliteStore(folder / "records.db"), spool, counts, memory_rows=buffer_rows
        ),
        counts,
        buffer_rows=buffer_rows,
        is_spooling=spool_bytes > 0,
    )
    try:
        yield made
    finally:
        made.stop(30)


def look(made: Recorder) -> State:
    """How the log stands now."""
    return made.look(datetime.now(UTC))


def record_one(
    folder: Path, contract: Contract, one: ScoredRequest, **options: object
) -> list[Record]:
    """What the store has of one request."""
    with recording(folder, contract, **options) as made:  # type: ignore[arg-type]  # its own options
        made.start()
        made.add(one)
    return read_log(folder / "records.db")


# ---- features


def test_features_are_named_and_decoded() -> None:
    """A row is stored as an object of its features by name, categories as themselves."""
    (stored,) = stored_features(PLAIN, [ENCODED])
    assert json.loads(stored) == GOOD


@given(good_rows(WIDE))
def test_what_was_sent_is_stored(body: bytes) -> None:
    """Whatever row the service takes, the log has its values: floats to the last bit."""
    row, _ = RowReader(Encoder(WIDE)).read_row(body)
    (text,) = stored_features(WIDE, [row])
    sent, stored = json.loads(body), json.loads(text)
    assert list(stored) == list(WIDE.names)
    for feature in WIDE.features:
        value, found = sent.get(feature.name), stored[feature.name]
        if feature.kind == "float" and value is not None:
            assert struct.pack("<d", found) == struct.pack("<d", float(value))
        else:
            assert found == value
            assert isinstance(found, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    "number",
    [-0.0, 0.0, 5e-324, -2.2250738585072014e-308, 0.1 + 0.2, 1 / 3, 1.7e308, 1e22, 2.0**53],
)
def test_numbers_keep_every_bit_on_the_way(number: float) -> None:
    """The text of a float gives the same eight bytes back, and is a float's text."""
    (text,) = stored_features(contract_of(Feature("x", "float", "double")), [(number,)])
    found = json.loads(text)["x"]
    assert isinstance(found, float)
    assert struct.pack("<d", found) == struct.pack("<d", number)


NAMES = [
    "",
    " ",
    "größe/~ m",
    "'; DROP TABLE scored; --",
    "f1",
    "f0",
    "__class__",
    "{0} %s $1 :id",
    "\u2028\u202e\ufeff",
    "\U0001f600",
    "é",
    "x" * 5000,
]


def test_any_name_will_do(tmp_path: Path) -> None:
    """Hostile names of features, and hostile texts, come back from the store as they were."""
    texts = [*NAMES, "\x00\x01\x1f", '"quoted" \\u0000 \\', "\r\n"]
    features = [Feature(name, "text", "string") for name in NAMES]
    contract = contract_of(*features)
    rows = [tuple(texts[start:] + texts[:start])[: len(NAMES)] for start in range(len(texts))]
    one = ScoredRequest("r", answered(len(rows)).ids, rows, [Scored(1.0)] * len(rows))
    stored = record_one(tmp_path, contract, one)
    assert [found.values for found in stored] == [
        dict(zip(NAMES, row, strict=True)) for row in rows
    ]


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        (None, {"amount": 1.5, "colour": "green"}),
        (["colour"], {"colour": "green"}),
        (["colour", "amount"], {"amount": 1.5, "colour": "green"}),
        (["colour", "no feature"], {"colour": "green"}),
        (["COLOUR"], {}),
        ([], {}),
    ],
)
def test_only_what_is_listed_is_stored(
    tmp_path: Path, listed: list[str] | None, stored: dict[str, object]
) -> None:
    """With a list only its features are stored, by their exact names; without one, all."""
    (found,) = record_one(tmp_path, CONTRACT, answered(), listed=listed)
    assert found.values == stored


def test_a_new_feature_is_not_stored_until_it_is_listed(tmp_path: Path) -> None:
    """A feature that a later contract brings is nowhere on disk while the list lacks it."""
    newer = contract_of(*CONTRACT.features, Feature("diagnosis", "text", "string"))
    row: EncodedRow = (*ROW, "se7r3t")
    one = ScoredRequest("r", answered().ids, [row], [Scored(1.0)])
    (found,) = record_one(tmp_path, newer, one, listed=["amount", "colour"])
    assert found.values == {"amount": 1.5, "colour": "green"}
    assert b"se7r3t" not in bytes_below(tmp_path)


def test_a_warning_is_stored_where_its_feature_may_be(tmp_path: Path) -> None:
    """That a value was out of range says something of it: not stored where it is not listed."""
    slashed = Feature("a/b~c", "float", "double")
    contract = contract_of(*CONTRACT.features, slashed)
    warnings = tuple(
        FeatureWarning(pointer, "out_of_range", "")
        for pointer in ("/amount", "/colour", "/a~1b~0c")
    )
    one = ScoredRequest("r", answered().ids, [(*ROW, 1.0)], [Scored(1.0, warnings=warnings)])
    (found,) = record_one(tmp_path, contract, one, listed=["amount", "a/b~c"])
    assert [noted.pointer for noted in found.warnings] == ["/amount", "/a~1b~0c"]


# ---- records


def test_a_record_has_all_that_is_known_of_an_answer(tmp_path: Path) -> None:
    """Ids, model, contract, environment, score, label, threshold, stages and warnings."""
    warned = FeatureWarning("/amount", "out_of_range", "told the client, not stored")
    one = ScoredRequest(
        "client-7",
        answered().ids,
        [ROW],
        [Scored(0.1 + 0.2, None, 1, (warned,))],
        None,
        (0.000_010_9, 0.000_020_1, 0.003, 1.5),
    )
    (found,) = record_one(tmp_path, CONTRACT, one)
    assert found == Record(
        id=one.ids[0],
        request_id="client-7",
        model="credit",
        version="1",
        contract=CONTRACT.hash,
        environment="e",
        features=msgspec.Raw(STORED_ROW),
        score=0.1 + 0.2,
        label="1",
        threshold=0.4,
        decode_us=10,
        queue_us=20,
        predict_us=3000,
        encode_us=1_500_000,
        warnings=(RecordedWarning("/amount", "out_of_range"),),
    )


def test_multiclass(tmp_path: Path) -> None:
    """Several classes: each one's probability by name, no single score, no threshold."""
    contract = Contract(
        features=CONTRACT.features, task="multiclass", engine="booster", classes=("low", 2, True)
    )
    one = ScoredRequest("r", answered().ids, [ROW], [Scored(None, (0.2, 0.3, 0.5), True)])
    (found,) = record_one(tmp_path, contract, one)
    assert found.scores == {"low": 0.2, "2": 0.3, "True": 0.5}
    assert (found.score, found.label, found.threshold) == (None, "True", None)


def test_regression(tmp_path: Path) -> None:
    """A regression has a value and no label; the value keeps its sign where it is zero."""
    contract = contract_of(*CONTRACT.features)
    one = ScoredRequest("r", answered().ids, [ROW], [Scored(-0.0)])
    (found,) = record_one(tmp_path, contract, one)
    assert (found.scores, found.label, found.threshold) == (None, None, None)
    assert struct.pack("<d", found.score) == struct.pack("<d", -0.0)


def test_what_was_made_by_a_model_names_it(tmp_path: Path) -> None:
    """The store knows the model, its contract and the environment before any of its rows."""
    record_one(tmp_path, CONTRACT, answered())
    store = SqliteStore(tmp_path / "records.db")
    registration = store.registration("credit", "1")
    assert registration is not None
    assert registration.contract == CONTRACT.hash
    assert load(bytes(registration.document)) == CONTRACT
    assert store.environment("e") == SERVED.environment
    store.close()


# ---- the buffer


def test_a_full_buffer_drops_whole_answers_and_counts_them(tmp_path: Path) -> None:
    """Beyond the capacity an answer is dropped at once, counted; what fits before is kept."""
    with recording(tmp_path, buffer_rows=10) as made:
        kept = [answered(4), answered(4), answered(2)]
        for one in (kept[0], kept[1], answered(3), kept[2], answered(1)):
            made.add(one)
        state = look(made)
        assert (state.enqueued, state.depth, state.capacity) == (10, 10, 10)
        assert state.dropped["buffer_full"] == 4
        made.start()
        wait_until(lambda: look(made).written == 10)
        made.add(answered(10))
    found = ids_of(read_log(tmp_path / "records.db"))
    assert found[:10] == sorted(name for one in kept for name in one.ids)
    assert len(found) == 20


def test_adding_waits_for_nothing(tmp_path: Path) -> None:
    """An answer is handed over in microseconds, be the buffer full and the store down."""
    with down(tmp_path / "records.db"), recording(tmp_path, buffer_rows=1024) as made:
        made.start()
        one = answered()
        started = time.perf_counter()
        for _ in range(20_000):
            made.add(one)
        seconds = time.perf_counter() - started
        state = look(made)
        assert state.enqueued + state.dropped["buffer_full"] == 20_000
        # Some 10 ms on an idle machine; a single wait for the store would take seconds.
        assert seconds < 1.0
        made.stop(0)


def test_an_answer_that_cannot_be_recorded_is_counted_whole(tmp_path: Path) -> None:
    """An answer that the log cannot write takes none of its neighbours with it."""
    before, after = answered(2), answered(3)
    # Half a surrogate pair: no UTF-8, in the last of three rows.
    rows: list[EncodedRow] = [(1.5, "green"), (1.5, "green"), (1.5, "\ud800")]
    bad = ScoredRequest("r", answered(3).ids, rows, [Scored(0.5)] * 3)
    contract = contract_of(*CONTRACT.features[:1], Feature("colour", "text", "string"))
    with listening() as heard, recording(tmp_path, contract) as made:
        for one in (before, bad, after):
            made.add(one)
        made.start()
        wait_until(lambda: look(made).depth == 0)
        state = look(made)
    assert messages(heard) == ["an answer could not be recorded"]
    assert (state.enqueued, state.written, state.dropped["failed"]) == (8, 5, 3)
    assert ids_of(read_log(tmp_path / "records.db")) == sorted([*before.ids, *after.ids])


def test_many_rows_are_flushed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """512 rows do not wait for the clock; 511 do."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 3600.0)
    with recording(tmp_path) as made:
        made.start()
        made.add(answered(511))
        time.sleep(0.3)
        assert (look(made).depth, look(made).written) == (511, 0)
        made.add(answered(1))
        wait_until(lambda: look(made).written == 512)


def test_few_rows_are_flushed_in_time(tmp_path: Path) -> None:
    """A single row is on the disk or in the store within about 250 ms."""
    waits = []
    with down(tmp_path / "records.db"), recording(tmp_path) as made:
        made.start()
        for number in range(5):
            made.add(answered())
            started = time.perf_counter()
            wait_until(lambda: len(list(tmp_path.glob("spool/*/*.rows"))) > number)  # noqa: B023 - waited for here
            waits.append(time.perf_counter() - started)
        made.stop(0)
    # The quickest of five, as whatever else the machine does can only add to it.
    assert min(waits) < 2 * module.FLUSH_SECONDS


def test_a_stop_writes_what_is_there(tmp_path: Path) -> None:
    """What was added just before the stop is in the store after it."""
    with recording(tmp_path) as made:
        made.start()
        many = [answered(3) for _ in range(200)]
        for one in many:
            made.add(one)
        made.stop(30)
        assert (look(made).written, look(made).depth) == (600, 0)
    found = ids_of(read_log(tmp_path / "records.db"))
    assert found == sorted(name for one in many for name in one.ids)
    assert not list((tmp_path / "spool").iterdir())


def test_a_stop_before_the_start(tmp_path: Path) -> None:
    """A recorder that was never started stops at once, and twice."""
    with recording(tmp_path) as made:
        made.stop(30)


# ---- subjects


def hide(tmp_path: Path, keys: Keys | None, subjects: list[str]) -> list[str]:
    """Record rows of subjects while the store is down and after; give what was logged."""
    with listening() as heard, recording(tmp_path, keys=keys) as made:
        with down(tmp_path / "records.db"):
            made.start()
            for subject in subjects:
                made.add(answered(2, subject))
            wait_until(lambda: look(made).spool_bytes > 0 and not made._buffer)
            assert SUBJECT.encode() not in bytes_below(tmp_path)
        made.add(answered(1, SUBJECT))
        made.add(answered(1))
        wait_until(lambda: look(made).depth == 0)
        # With the write-ahead log, before closing empties it.
        assert SUBJECT.encode() not in bytes_below(tmp_path)
    assert SUBJECT.encode() not in bytes_below(tmp_path)
    assert not any(SUBJECT in str(record.__dict__) for record in heard)
    return messages(heard)


def test_a_subject_is_stored_as_a_token_alone(tmp_path: Path) -> None:
    """Neither the spool, nor the store, nor the log says whom a row is about."""
    hide(tmp_path, KEYS, [SUBJECT, "another"])
    key_id, token = KEYS.token(SUBJECT)
    found = read_log(tmp_path / "records.db")
    mine = [record for record in found if record.subject == token]
    assert len(mine) == 3
    assert {record.subject_key for record in mine} == {key_id} == {"new"}
    assert [record.subject_key for record in found].count(None) == 1


def test_without_a_key_no_subject_is_stored(tmp_path: Path) -> None:
    """Without a key there is no token, and one warning for all rows."""
    told = hide(tmp_path, read_keys(""), [SUBJECT, "another", SUBJECT])
    assert [line for line in told if "X-Subject" in line] == [
        "X-Subject is not stored: TABSERVE_SUBJECT_KEYS has no key"
    ]
    for record in read_log(tmp_path / "records.db"):
        assert (record.subject, record.subject_key) == (None, None)


# ---- the state


def test_the_state_of_an_outage(tmp_path: Path) -> None:
    """While the store is down depth, spool and age rise; when it is back all are zero."""
    with recording(tmp_path) as made:
        with down(tmp_path / "records.db"):
            made.start()
            made.add(answered(7))
            # Rows on their way from the buffer into the spool are counted in both.
            wait_until(lambda: look(made).spool_bytes > 0 and look(made).depth == 7)
            first = look(made)
            assert (first.enqueued, first.written, first.depth) == (7, 0, 7)
            assert first.capacity == 100_000
            assert not any(first.dropped.values())
            made.add(answered(3))
            wait_until(
                lambda: look(made).spool_bytes > first.spool_bytes and look(made).depth == 10
            )
            second = look(made)
            assert second.oldest_age_seconds > first.oldest_age_seconds > 0
            on_disk = sum(path.stat().st_size for path in tmp_path.glob("spool/*/*.rows"))
            assert second.spool_bytes == on_disk
            assert second.write_seconds == []
        wait_until(lambda: made.counts.written == 10 and not list(tmp_path.glob("spool/*/*.rows")))
        last = look(made)
        assert (last.enqueued, last.written, last.depth) == (10, 10, 0)
        assert (last.spool_bytes, last.oldest_age_seconds) == (0, 0.0)
        assert len(last.write_seconds) >= 1
        assert all(seconds > 0 for seconds in last.write_seconds)
        # Each write is told once.
        assert look(made).write_seconds == []


def test_a_clock_that_was_set_back_makes_no_negative_age(tmp_path: Path) -> None:
    """Seen from an earlier time the oldest row has no age."""
    with recording(tmp_path) as made:
        made.add(answered())
        assert made.look(datetime(2020, 1, 1, tzinfo=UTC)).oldest_age_seconds == 0.0
        assert look(made).oldest_age_seconds >= 0.0
        assert made.look(datetime(2200, 1, 1, tzinfo=UTC)).oldest_age_seconds > 1e9


def losses(made: Recorder) -> dict[DropReason, int]:
    """What was dropped, by reason."""
    return {reason: count for reason, count in look(made).dropped.items() if count}


def fill(made: Recorder, is_enough: Callable[[], bool]) -> None:
    """Add answers of ten rows, as fast as they are taken, until it is enough."""
    while not is_enough():
        made.add(answered(10))
        wait_until(lambda: not made._buffer)


LOST = "answers are lost to the prediction log: no room"


def test_a_full_spool_drops_rows_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With disk and memory full rows are dropped as `spool_full`; all others are delivered."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.001)
    with listening() as heard, recording(tmp_path, buffer_rows=50, spool_bytes=5000) as made:
        with down(tmp_path / "records.db"):
            made.start()
            fill(made, lambda: losses(made).get("spool_full", 0) >= 30)
        wait_until(lambda: look(made).depth == 0)
        state = look(made)
    assert losses(made).keys() == {"spool_full"}
    assert state.written + state.dropped["spool_full"] == state.enqueued
    assert len(read_log(tmp_path / "records.db")) == state.written >= 50
    told = "rows cannot be spooled, they stay in memory: it is as large as it may be"
    assert messages(heard).count(told) == 1
    # At once for the first, and at the end for all others: a minute has not gone by.
    lost = [one.__dict__["fields"]["spool_full"] for one in heard if one.getMessage() == LOST]
    assert len(lost) == 2
    assert sum(lost) == state.dropped["spool_full"]


def test_a_full_buffer_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows lost for want of room are told of as long as they are, but not for each of them."""
    monkeypatch.setattr(module, "_REPORT_SECONDS", 0.05)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.001)
    with listening() as heard, recording(tmp_path, buffer_rows=10) as made:
        started = time.monotonic()
        made.start()

        def add_until_told() -> bool:
            made.add(answered(11))
            return len(messages(heard)) >= 3

        wait_until(add_until_told)
        made.add(answered(11))
        most = (time.monotonic() - started) / 0.05 + 1
    # One more at the end, for what came since the last.
    assert len(messages(heard)) <= most + 1
    lost = [one.__dict__["fields"]["buffer_full"] for one in heard if one.getMessage() == LOST]
    assert sum(lost) == look(made).dropped["buffer_full"]


def test_without_a_spool_rows_stay_in_memory(tmp_path: Path) -> None:
    """TABSERVE_SPOOL_MAX_BYTES=0: nothing is put on disk but by the store, and nobody warned."""
    with listening() as heard, recording(tmp_path, spool_bytes=0) as made:
        made.start()
        made.add(answered(5))
        wait_until(lambda: look(made).written == 5)
    assert messages(heard) == []
    assert not (tmp_path / "spool").exists()


def test_what_comes_without_end_leaves_half_of_the_spool(tmp_path: Path) -> None:
    """While the store is away a stream is told to wait before other answers are lost."""
    with recording(tmp_path, buffer_rows=1000, spool_bytes=200_000) as made:
        with down(tmp_path / "records.db"):
            made.start()
            rounds = 0
            while made.has_room(100):
                made.add(answered(100))
                wait_until(lambda: not made._buffer)
                rounds += 1
            assert rounds > 3
            state = look(made)
            assert state.spool_bytes <= 150_000
            made.add(answered(100))
            wait_until(lambda: not made._buffer)
            assert not any(look(made).dropped.values())
        wait_until(lambda: look(made).depth == 0)
        assert made.has_room(100)
        # More than the buffer holds would wait for ever.
        assert made.has_room(1001)
