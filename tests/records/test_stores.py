"""What holds in every store."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bentos.errors import StoreDown
from bentos.ids import floor_id, from_milliseconds, milliseconds
from bentos.records.opening import open_store
from bentos.records.record import MOST_REVISIONS, Event, Record, RecordedWarning, Version, Window
from bentos.records.store import Store
from tests.records.conftest import KINDS
from tests.records.predictions import (
    ALL,
    DAY,
    ENVIRONMENT,
    NOON,
    REGISTRATION,
    by_id,
    minutes,
    name,
    record,
)

MILLISECOND = timedelta(milliseconds=1)

# -0.0, the largest power of ten, the least number above zero, one that has no short decimal.
EXACT = (-0.0, 1e308, 5e-324, 0.1 + 0.2, 1 / 3, 1.7976931348623157e308, -2.2250738585072014e-308)

HOSTILE = (
    "",
    "'; DROP TABLE predictions; --",
    '"quoted" \\N \\. \\x00 {curly} %s %(name)s $1 :id ?',
    "line\nbreak\r\ttab\u2028separator\x1b[31m",
    "null\\u0000escape",
    "../../etc/passwd",
    "\ufeff\u202eright to left\ufffe\U0010ffff",
    "é and é",
    "x" * 10_000,
)


def bits(number: float) -> bytes:
    """The eight bytes of a float."""
    return struct.pack("!d", number)


def of_every_category() -> str:
    """Some characters of each Unicode category that text may have, NUL apart."""
    found: dict[str, list[str]] = {}
    for point in range(1, sys.maxunicode + 1):
        character = chr(point)
        category = unicodedata.category(character)
        if category != "Cs" and len(found.setdefault(category, [])) < 12:
            found[category].append(character)
    assert len(found) == 29
    return "".join(character for some in found.values() for character in some)


def test_a_record_comes_back_whole(store: Store) -> None:
    """Every field of a record is what it was, whether it has a value or none."""
    full = record(
        scores={"low": 0.1 + 0.2, "high": 5e-324},
        consumer="key-1",
        subject="ab" * 32,
        subject_key="2026",
        warnings=(
            RecordedWarning("/colour", "unknown_category"),
            RecordedWarning("/a~1b", "out_of_range"),
        ),
        reasons=("R01", "R07"),
    )
    bare = record(NOON + MILLISECOND, score=None, label=None, threshold=None)
    unreasoned = record(NOON + 2 * MILLISECOND, reasons=())
    store.write([full, bare, unreasoned], is_retry=False)
    assert list(store.read(ALL)) == [full, bare, unreasoned]
    assert store.get(full.id) == full
    assert store.get(bare.id) == bare
    assert store.get(full.id).time == NOON  # type: ignore[union-attr]  # the line above says so


def test_what_was_never_stored_is_not_found(store: Store) -> None:
    """An unknown id, and what is no id at all, finds nothing anywhere."""
    for unknown in (name(), "no-id", "", "'; --", "\x00", name().upper() + " "):
        assert store.get(unknown) is None
        assert store.find([unknown]) == {}
        assert store.revisions(unknown) == []
    assert store.find([]) == {}
    assert list(store.read(ALL)) == []
    assert list(store.outcomes(ALL)) == []
    assert list(store.of_subject(["nobody"])) == []
    assert store.versions(ALL) == []
    assert store.sample(ALL, 10, 0) == []
    assert store.registration("credit", "1") is None
    assert store.environment("e") is None
    assert store.events() == []


def test_numbers_keep_every_bit(store: Store) -> None:
    """Scores and features come back to the last bit, -0.0 and subnormal numbers too."""
    stored = [
        record(
            NOON + number * MILLISECOND,
            score=value,
            threshold=value,
            scores={"a": value},
            features=msgspec.Raw(msgspec.json.encode({"x": value})),
        )
        for number, value in enumerate(EXACT)
    ]
    store.write(stored, is_retry=False)
    for value, found in zip(EXACT, store.read(ALL), strict=True):
        for back in (found.score, found.threshold, found.scores["a"], found.values["x"]):  # type: ignore[index]  # it has scores
            assert isinstance(back, float)
            assert bits(back) == bits(value)


def test_features_are_verbatim(store: Store) -> None:
    """The text of the features stays: order, spaces, repeated zeros, escapes, -0.0."""
    text = b'{"b": -0.0,"a":1.50, "\\u0000":"\\u0000\\ud83d\\ude00\\/", "n":1e400, "b":2}'
    store.write([record(features=msgspec.Raw(text))], is_retry=False)
    assert [bytes(found.features) for found in store.read(ALL)] == [text]


def test_text_of_every_unicode_category(store: Store) -> None:
    """Text of every category comes back as it was, in features and everywhere else."""
    text = of_every_category()
    kept = record(
        features=msgspec.Raw(msgspec.json.encode({text: text, "nul": "\x00"})),
        request_id=text,
        model=text,
        version=text,
        contract=text,
        environment=text,
        label=text,
        consumer=text,
        subject=text,
        subject_key=text,
        scores={text: 0.5},
        warnings=(RecordedWarning(f"/{text}", text),),
        reasons=(text,),
    )
    store.write([kept], is_retry=False)
    assert list(store.read(ALL)) == [kept]
    assert list(store.read(Window(model=text, version=text))) == [kept]
    assert list(store.of_subject([text])) == [kept]
    assert store.find([kept.id]) == {kept.id: (text, text)}


@pytest.mark.parametrize("is_retry", [False, True])
def test_hostile_text_is_only_text(store: Store, is_retry: bool) -> None:
    """Quotes, SQL, escapes and line breaks in ids and labels are stored as they are."""
    stored = [
        record(NOON + number * MILLISECOND, request_id=text, label=text, consumer=text)
        for number, text in enumerate(HOSTILE)
    ]
    store.write(stored, is_retry=is_retry)
    assert list(store.read(ALL)) == stored
    posted = [(one.id, text, text) for one, text in zip(stored, HOSTILE, strict=True)]
    store.write_outcomes(posted)
    found = [(one.id, one.outcome, one.request_id) for one in store.outcomes(ALL)]
    assert found == posted


def test_nothing_is_stored_twice(store: Store) -> None:
    """What is there by its id stays as it is, however often and however it comes again."""
    first = minutes(5)
    store.write(first[:3], is_retry=False)
    store.write(first, is_retry=False)
    store.write(first, is_retry=True)
    changed = [msgspec.structs.replace(one, score=0.75) for one in first]
    store.write(changed, is_retry=False)
    store.write([*changed, *changed], is_retry=True)
    assert list(store.read(ALL)) == first
    assert [version.rows for version in store.versions(ALL)] == [5]


def test_a_write_of_nothing(store: Store) -> None:
    """No records and no outcomes are no error."""
    store.write([], is_retry=False)
    store.write([], is_retry=True)
    assert store.write_outcomes([]) == []
    assert list(store.read(ALL)) == []


def test_the_clock_going_backwards(store: Store) -> None:
    """Records are read by id, whatever the order in which they came, over days and years."""
    times = [NOON, NOON - DAY, NOON + DAY, NOON - 400 * DAY, NOON - MILLISECOND, NOON + 9 * DAY]
    times += [datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)]
    stored = [record(time) for time in times]
    for one in stored:
        store.write([one], is_retry=False)
    store.write(stored, is_retry=True)
    assert list(store.read(ALL)) == by_id(stored)
    assert all(store.get(one.id) == one for one in stored)


def test_ids_of_one_millisecond_are_in_order(store: Store) -> None:
    """Records of the same millisecond are read by the rest of their ids."""
    stored = [record() for _ in range(50)]
    store.write(stored, is_retry=False)
    assert list(store.read(ALL)) == by_id(stored)


def test_a_window_is_half_open(store: Store) -> None:
    """A window has its first millisecond and not its last, at midnight too."""
    midnight = NOON.replace(hour=0)
    for edge in (NOON, midnight):
        around = [record(edge + count * MILLISECOND) for count in (-1, 0, 1)]
        store.write(around, is_retry=False)
        assert list(store.read(Window(since=edge, until=edge + MILLISECOND))) == [around[1]]
        assert list(store.read(Window(since=edge, until=edge + 2 * MILLISECOND))) == around[1:]
        assert list(store.read(Window(since=edge - MILLISECOND, until=edge))) == [around[0]]
        assert list(store.read(Window(since=edge, until=edge))) == []
        assert list(store.read(Window(since=edge + DAY, until=edge))) == []


def test_a_window_within_a_millisecond(store: Store) -> None:
    """Parts of a millisecond are cut off on both sides: ids have none."""
    stored = record()
    store.write([stored], is_retry=False)
    part = timedelta(microseconds=400)
    assert list(store.read(Window(since=NOON + part))) == [stored]
    assert list(store.read(Window(until=NOON + part))) == []


def test_a_window_of_another_time_zone(store: Store) -> None:
    """A bound means the same moment in every zone."""
    stored = minutes(3)
    store.write(stored, is_retry=False)
    zone = datetime.now().astimezone().tzinfo
    window = Window(since=(NOON + timedelta(minutes=1)).astimezone(zone))
    assert list(store.read(window)) == stored[1:]
    assert list(store.read(Window(since=datetime.min.replace(tzinfo=UTC)))) == stored


def test_a_window_of_one_model_and_version(store: Store) -> None:
    """A window may be of one model, and of one version of it."""
    kinds = [("a", "1"), ("a", "2"), ("b", "1")]
    stored = {kind: minutes(2, model=kind[0], version=kind[1]) for kind in kinds}
    store.write([one for some in stored.values() for one in some], is_retry=False)
    assert list(store.read(Window(model="a"))) == by_id(stored["a", "1"] + stored["a", "2"])
    assert list(store.read(Window(model="a", version="2"))) == stored["a", "2"]
    assert list(store.read(Window(version="1"))) == by_id(stored["a", "1"] + stored["b", "1"])
    assert list(store.read(Window(model="c"))) == []


def test_versions_are_counted(store: Store) -> None:
    """Each model version and contract of a window is counted, in order of their bytes."""
    kinds = [("b", "1", "x"), ("B", "1", "x"), ("b", "10", "x"), ("b", "2", "y"), ("b", "2", "x")]
    for number, (model, version, contract) in enumerate(kinds, 1):
        store.write(
            minutes(number, model=model, version=version, contract=contract), is_retry=False
        )
    counted = sorted((*kind, number) for number, kind in enumerate(kinds, 1))
    assert store.versions(ALL) == [Version(*one) for one in counted]
    later = store.versions(Window(since=NOON + timedelta(minutes=4)))
    assert later == [Version("b", "2", "x", 1)]


def test_a_read_goes_on_while_rows_are_written(store: Store) -> None:
    """A stream gives what was there when it began, whatever is written meanwhile."""
    first = minutes(5000, NOON - DAY)
    store.write(first, is_retry=False)
    stream = store.read(ALL)
    head = [next(stream) for _ in range(10)]
    later = minutes(3, NOON + 30 * DAY)
    store.write(later, is_retry=False)
    assert store.get(later[0].id) == later[0]
    tail = list(stream)
    assert (head + tail)[:5000] == first
    assert list(store.read(ALL)) == first + later


def test_a_stream_may_be_left(store: Store) -> None:
    """Who stops reading half way leaves nothing behind that is in the way."""
    stored = minutes(3000, NOON - DAY)
    store.write(stored, is_retry=False)
    stream = store.read(ALL)
    assert next(stream) == stored[0]
    del stream
    store.write(minutes(1), is_retry=False)
    store.drop_before(NOON + 2 * DAY)
    assert list(store.read(ALL)) == []


def test_two_streams_at_once(store: Store) -> None:
    """Streams do not disturb each other."""
    stored = minutes(2500)
    store.write(stored, is_retry=False)
    pairs = list(zip(store.read(ALL), store.read(ALL), strict=True))
    assert pairs == [(one, one) for one in stored]


def test_a_sample_goes_round_the_circle(store: Store) -> None:
    """Records are picked by the end of their ids, from the seed upwards and on from zero."""
    ends = (0x00000000, 0x00000001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    stored = {end: record(NOON - end % 7 * DAY, id=name(NOON, end)) for end in ends}
    store.write(list(stored.values()), is_retry=False)

    def sampled(rows: int, seed: int) -> list[Record]:
        found = store.sample(ALL, rows, seed)
        assert found == by_id(found)
        return found

    assert sampled(1, 2) == [stored[0x7FFFFFFF]]
    assert sampled(2, 0x80000000) == by_id([stored[0x80000000], stored[0xFFFFFFFF]])
    assert sampled(3, 0xFFFFFFFF) == by_id([stored[0xFFFFFFFF], stored[0], stored[1]])
    assert sampled(3, -1) == sampled(3, 2**32 - 1) == sampled(3, 2**64 - 1)
    assert sampled(99, 5) == by_id(list(stored.values()))
    assert sampled(0, 5) == []


def test_a_sample_is_of_a_window(store: Store) -> None:
    """Only records of the window and the model are picked, as many as asked for."""
    store.write(minutes(100), is_retry=False)
    store.write(minutes(100, model="other"), is_retry=False)
    window = Window(since=NOON + timedelta(minutes=10), until=NOON + DAY, model="other")
    picked = store.sample(window, 30, 1)
    assert len(picked) == 30
    assert {one.model for one in picked} == {"other"}
    assert all(one.time >= window.since for one in picked)
    assert picked == store.sample(window, 30, 1)
    assert picked != store.sample(window, 30, 2**31)


def test_stores_pick_the_same_sample(
    make_url: Callable[[str], str], open_log: Callable[[str], Store]
) -> None:
    """The same records and the same seed give the same sample, whatever the store."""
    stored = [one for day in range(3) for one in minutes(200, NOON - day * DAY)]
    samples = []
    for kind in KINDS:
        store = open_log(make_url(kind))
        store.write(stored, is_retry=False)
        samples.append([store.sample(ALL, 50, seed) for seed in (0, 7, 2**31, 2**32 - 1)])
    assert all(sample == samples[0] for sample in samples)


def test_what_was_registered_is_found(store: Store) -> None:
    """The first registration of a version stays; documents come back verbatim."""
    store.register(REGISTRATION, ENVIRONMENT)
    store.register(msgspec.structs.replace(REGISTRATION, digest="other"), ENVIRONMENT)
    bare = msgspec.structs.replace(REGISTRATION, version="2", reference=None)
    store.register(bare, ENVIRONMENT)
    assert store.registration("credit", "1") == REGISTRATION
    assert store.registration("credit", "2") == bare
    assert store.registration("credit", "3") is None
    assert store.environment("e") == ENVIRONMENT


def test_find_gives_model_and_version(store: Store) -> None:
    """Thousands of ids are looked up at once; unknown ones are left out."""
    stored = [record(NOON - day * DAY, version=str(day)) for day in range(20)]
    store.write(stored, is_retry=False)
    asked = [one.id for one in stored] + [name() for _ in range(1500)]
    assert store.find(asked) == {one.id: ("credit", one.version) for one in stored}


def test_an_outcome_that_changes_is_a_new_revision(store: Store) -> None:
    """An outcome is news when it differs from the last one, within one list too."""
    one, other = minutes(2)
    store.write([one, other], is_retry=False)
    before = from_milliseconds(milliseconds(datetime.now(UTC)))
    assert store.write_outcomes([(one.id, "0", "a"), (one.id, "0", "b")]) == [
        "recorded",
        "unchanged",
    ]
    assert store.write_outcomes([(other.id, "1", "c"), (one.id, "1", "d")]) == [
        "recorded",
        "recorded",
    ]
    assert store.write_outcomes([(one.id, "1", "e"), (one.id, "0", "f")]) == [
        "unchanged",
        "recorded",
    ]
    found = store.revisions(one.id)
    assert [(x.outcome, x.revision, x.request_id) for x in found] == [
        ("0", 1, "a"),
        ("1", 2, "d"),
        ("0", 3, "f"),
    ]
    assert all(before <= x.received <= datetime.now(UTC) for x in found)
    assert {x.id for x in found} == {one.id}
    last = [(x.id, x.outcome, x.revision) for x in store.outcomes(ALL)]
    assert last == [(one.id, "0", 3), (other.id, "1", 1)]


def test_an_outcome_needs_its_prediction(store: Store) -> None:
    """What was forgotten, dropped or never there since it was looked for gets no outcome."""
    mine, old, kept = record(subject="mine"), record(NOON - 9 * DAY), record()
    store.write([mine, old, kept], is_retry=False)
    asked = [mine.id, old.id, name(), kept.id]
    assert len(store.find(asked)) == 3
    store.forget(["mine"], NOON + DAY)
    store.drop_before(NOON - DAY)
    taken = store.write_outcomes([(one, "1", "r") for one in asked])
    assert taken == ["unknown", "unknown", "unknown", "recorded"]
    assert [store.revisions(one) for one in asked[:3]] == [[], [], []]


def test_an_outcome_changes_a_hundred_times_at_most(store: Store) -> None:
    """One that turns to and fro is refused from then on; the last one stays, and is no news."""
    one, other = minutes(2)
    store.write([one, other], is_retry=False)
    posted = [(one.id, str(number % 2), "r") for number in range(MOST_REVISIONS)]
    assert store.write_outcomes(posted[:30]) == ["recorded"] * 30
    more = [*posted[30:], (one.id, "0", "r"), (other.id, "1", "r"), (one.id, "1", "r")]
    taken = ["recorded"] * (MOST_REVISIONS - 30)
    assert store.write_outcomes(more) == [*taken, "too_many", "recorded", "unchanged"]
    assert store.write_outcomes([(one.id, "2", "r")]) == ["too_many"]
    assert [(x.revision, x.outcome) for x in store.revisions(one.id)][-1] == (MOST_REVISIONS, "1")


def test_outcomes_of_a_window_are_those_of_its_predictions(store: Store) -> None:
    """A window of outcomes goes by the prediction's time and model, not by their own."""
    stored = minutes(10) + minutes(10, model="other")
    store.write(stored, is_retry=False)
    store.write_outcomes([(one.id, "1", "r") for one in stored])
    window = Window(since=NOON + timedelta(minutes=5), until=NOON + DAY, model="other")
    assert [x.id for x in store.outcomes(window)] == [x.id for x in store.read(window)]
    assert len(list(store.outcomes(ALL))) == 20


def test_a_subject_is_forgotten(store: Store) -> None:
    """Under all its tokens a subject's rows go, with their outcomes; nobody else's do."""
    mine = minutes(3, subject="mine") + minutes(2, NOON - 3 * DAY, subject="mine-by-old-key")
    others = minutes(4, subject="other") + minutes(2)
    store.write(mine + others, is_retry=False)
    store.write_outcomes([(one.id, "1", "r") for one in mine[:2] + others])
    assert list(store.of_subject(["mine", "mine-by-old-key"])) == by_id(mine)
    gone = store.forget(["mine", "mine-by-old-key"], NOON + DAY)
    assert (gone["predictions"], gone["outcomes"]) == (5, 2)
    assert list(store.of_subject(["mine", "mine-by-old-key"])) == []
    assert list(store.read(ALL)) == by_id(others)
    assert [x.id for x in store.outcomes(ALL)] == [one.id for one in by_id(others)]
    assert store.revisions(mine[0].id) == []
    assert store.find([one.id for one in mine]) == {}
    again = store.forget(["mine"], NOON)
    assert (again["predictions"], again["outcomes"]) == (0, 0)


@pytest.mark.parametrize("is_retry", [False, True])
def test_a_late_row_of_a_forgotten_subject_is_not_stored(store: Store, is_retry: bool) -> None:
    """Rows made before the erasure never come back; the others of their write are stored."""
    store.forget(["mine"], NOON)
    store.forget(["mine"], NOON - DAY)
    late = record(NOON - MILLISECOND, subject="mine")
    kept = [
        record(NOON - MILLISECOND, subject="other"),
        record(NOON, subject="mine"),
        record(NOON + MILLISECOND),
    ]
    store.write([late, *kept], is_retry=is_retry)
    assert list(store.read(ALL)) == by_id(kept)


def test_whole_days_are_dropped(store: Store) -> None:
    """What is older than the day goes, with its outcomes; the day itself stays whole."""
    old = minutes(3, NOON - 2 * DAY) + minutes(2, NOON - 400 * DAY)
    kept = [record(NOON.replace(hour=0)), *minutes(4), *minutes(2, NOON + DAY)]
    store.write(old + kept, is_retry=False)
    store.write_outcomes([(one.id, "1", "r") for one in (old[0], old[-1], kept[0])])
    dropped = store.drop_before(NOON)
    assert (dropped["predictions"], dropped["outcomes"]) == (5, 2)
    assert list(store.read(ALL)) == kept
    assert [x.id for x in store.outcomes(ALL)] == [kept[0].id]
    assert store.find([old[0].id]) == {}
    again = store.drop_before(NOON)
    assert (again["predictions"], again["outcomes"]) == (0, 0)


def test_a_dropped_day_may_be_written_again(store: Store) -> None:
    """A row that comes after its day was dropped is stored, and dropped the next time."""
    stored = minutes(2, NOON - 2 * DAY)
    store.write(stored, is_retry=False)
    store.drop_before(NOON)
    store.write(stored, is_retry=False)
    store.write_outcomes([(stored[0].id, "1", "r")])
    assert list(store.read(ALL)) == stored
    assert store.drop_before(NOON)["predictions"] == 2


def test_events_are_in_their_order(store: Store) -> None:
    """What was done to the log is told in the order in which it was done."""
    events = [
        Event(NOON, "retention", {"before": "2026-11-21", "predictions": 2**40}),
        Event(NOON - DAY, "forget", {}),
        Event(NOON, "export", {"quote": "'\"\\ \n"}),
    ]
    for event in events:
        store.note(event)
    assert store.events() == events


def test_a_log_is_there_after_it_was_closed(url: str, open_log: Callable[[str], Store]) -> None:
    """Closing twice is fine; a closed store opens again by itself, and another finds all."""
    store = open_log(url)
    stored = minutes(3)
    store.write(stored, is_retry=False)
    store.close()
    store.close()
    assert list(store.read(ALL)) == stored
    store.prepare()
    assert list(open_log(url).read(ALL)) == stored


def test_who_only_reads_makes_no_log(url: str, tmp_path: Path) -> None:
    """Looking for a log where there is none says so, and leaves nothing behind."""
    store = open_store(url)
    for _ in range(2):
        with pytest.raises(StoreDown, match=r"^there is no log (at|in) .*`tabserve migrate`"):
            store.check()
    assert list(tmp_path.iterdir()) == []
    store.prepare()
    store.check()
    store.close()


def test_nobody_connects_before_it_is_asked_to(url: str) -> None:
    """Making a store touches nothing, and closing it then is fine."""
    open_store(url).close()


_AT_ONCE = """
import sys
from pathlib import Path
from bentos.records.record import decode_lines
from bentos.records.opening import open_store
records = decode_lines(Path(sys.argv[2]).read_bytes())
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store.prepare()
for start in range(0, len(records), 50):
    store.write(records[start:start + 50], is_retry=True)
store.close()
"""


def test_replicas_start_and_write_at_once(
    url: str, open_log: Callable[[str], Store], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Processes that make the schema together all succeed, and the same rows are there once."""
    stored = [one for day in range(3) for one in minutes(100, NOON - day * DAY)]
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(msgspec.json.Encoder().encode_lines(stored))
    with ExitStack() as stack:
        replicas = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", _AT_ONCE, url, str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            for _ in range(3)
        ]
        for replica in replicas:
            assert replica.stdout is not None
            assert replica.stdout.readline() == b"ready\n"
        for replica in replicas:
            assert replica.stdin is not None
            replica.stdin.write(b"\n")
            replica.stdin.flush()
        failures = [replica.communicate(timeout=60)[1].decode() for replica in replicas]
    assert failures == ["", "", ""]
    assert list(open_log(url).read(ALL)) == by_id(stored)


def test_an_erasure_is_of_a_window_of_ids(store: Store) -> None:
    """The least id of a moment is not below the moment: nothing slips through between."""
    assert floor_id(NOON) <= name(NOON) < floor_id(NOON + MILLISECOND)
    store.forget(["mine"], NOON + timedelta(microseconds=999))
    at_once = record(NOON, subject="mine")
    store.write([at_once], is_retry=False)
    assert list(store.read(ALL)) == [at_once]


def test_a_store_that_is_nowhere_is_down(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where the store cannot be reached every call says so, without where that is."""
    file = tmp_path_factory.mktemp("nowhere") / "file"
    file.write_text("")
    kind = url.partition(":")[0]
    nowhere = {
        "sqlite": f"sqlite:///{file}/records.db",
        "parquet": f"parquet:{file}/log",
        "postgresql": f"postgresql://someone:secret@127.0.0.1:1/log?connect_timeout=2&host={file.parent}",
    }[kind]
    store = open_store(nowhere)
    for act in (store.prepare, lambda: store.write(minutes(1), is_retry=False)):
        with pytest.raises(StoreDown) as raised:
            act()
        assert "secret" not in str(raised.value)
        assert str(file) not in str(raised.value)
    store.close()


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", KINDS)
def test_a_million_rows(
    kind: str, make_url: Callable[[str], str], open_log: Callable[[str], Store]
) -> None:
    """A million predictions are written and read by window in bounded time and memory."""
    store = open_log(make_url(kind))
    total, chunk, days = 1_000_000, 4096, 4
    midnight = NOON.replace(hour=0)
    template = record(warnings=(), features=msgspec.Raw(b'{"age":30,"income":0.1}'))

    def made(number: int) -> Record:
        # A quarter of a million a day, 300 ms apart; the ends of the ids are well mixed.
        moment = milliseconds(midnight) + number % days * 86_400_000 + number // days * 300
        digits = f"{moment:012x}"
        end = number * 2_654_435_761 % 2**32
        return msgspec.structs.replace(
            template, id=f"{digits[:8]}-{digits[8:]}-7000-8000-0000{end:08x}"
        )

    started = time.monotonic()
    for start in range(0, total, chunk):
        rows = [made(number) for number in range(start, min(start + chunk, total))]
        store.write(rows, is_retry=False)
    assert time.monotonic() - started < 300

    started = time.monotonic()
    before = most = resident_bytes()
    read, last = 0, ""
    for one in store.read(Window(since=midnight + DAY, until=midnight + 3 * DAY)):
        assert one.id > last
        last = one.id
        read += 1
        if read % 10_000 == 0:
            most = max(most, resident_bytes())
    assert read == total / days * 2
    assert most - before < 64 * 2**20
    hour = Window(since=NOON, until=NOON + timedelta(hours=1))
    assert sum(1 for _ in store.read(hour)) == 12_000
    assert len(store.sample(ALL, 2000, 7)) == 2000
    assert [version.rows for version in store.versions(ALL)] == [total]
    assert store.drop_before(NOON + 9 * DAY)["predictions"] == total
    assert time.monotonic() - started < 120
