"""The log in PostgreSQL: how its statements run, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from bentos.errors import RowsRefused
from bentos.records.postgres.store import PostgresStore
from bentos.records.record import Window
from bentos.records.store import Store
from tests.records.postgres.asking import ask, session, tell, wait_until
from tests.records.postgresql import Server
from tests.records.predictions import (
    ALL,
    DAY,
    NOON,
    minutes,
    name,
    record,
)


def test_plans_use_the_partition_and_the_index(
    server: Server, store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """A window and a lookup by id scan the index of one day's partition, nothing else."""
    stored = [one for day in range(4) for one in minutes(1400, NOON.replace(hour=0) - day * DAY)]
    store.write(stored, is_retry=False)
    store.write_outcomes([(one.id, "1", "r") for one in stored])
    tell(database, "ANALYZE")
    options = (
        "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 "
        "-c auto_explain.log_nested_statements=on -c auto_explain.log_analyze=on"
    )
    explained = open_log(f"{database}?options={quote(options)}")

    def plan(act: Callable[[], object]) -> str:
        start = server.log.stat().st_size
        act()
        # A backend writes the plan before it answers, but the one of a cursor when it closes.
        explained.close()
        wait_until(lambda: "_20261120" in server.log.read_text()[start:])
        plans = server.log.read_text()[start:].split("Query Text:")
        return "\n".join(plan for plan in plans if "_20261120" in plan)

    hour = Window(since=NOON - DAY, until=NOON - DAY + timedelta(hours=1))
    wanted = stored[1400 + 720]
    assert wanted.time == hour.since
    cases: dict[str, Callable[[], object]] = {
        "an hour": lambda: list(explained.read(hour)),
        "an hour of a model": lambda: list(
            explained.read(Window(hour.since, hour.until, "credit", "1"))
        ),
        "by id": lambda: explained.get(wanted.id),
        "find": lambda: explained.find([wanted.id]),
        "revisions": lambda: explained.revisions(wanted.id),
        "outcomes": lambda: explained.write_outcomes([(wanted.id, "0", "r")]),
    }
    for case, act in cases.items():
        # Which partition holds an id that is one of many is only known while it runs.
        lines = [line for line in plan(act).splitlines() if "never executed" not in line]
        scans = re.findall(r"(\w+ (?:Only )?Scan.*) on (\w+?)_(\d{8})", "\n".join(lines))
        assert scans, (case, lines)
        for scan, table, day in scans:
            assert scan.startswith("Index "), (case, lines)
            assert scan.endswith(f" using {table}_20261120_pkey"), (case, lines)
            assert day == "20261120", (case, lines)


def test_erased_rows_and_subjects_have_an_index(store: Store, database: str) -> None:
    """A subject's rows are found without reading those of all others."""
    store.write(minutes(1000), is_retry=False)
    store.write(minutes(3, subject="mine"), is_retry=False)
    tell(database, "ANALYZE")
    with session(database) as connection:
        plan = connection.execute(
            "EXPLAIN SELECT id FROM tabserve.predictions_20261121 WHERE subject = ANY('{mine,x}')"
        ).fetchall()
    assert "subject_idx" in str(plan), plan


def test_settings_of_the_connection(store: Store, database: str) -> None:
    """The server sees who we are; a URL may ask for another name."""
    store.versions(ALL)
    names = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
    assert ("tabserve",) in ask(database, names)
    with closing(PostgresStore(f"{database}?application_name=audit")) as other:
        other.prepare()
        assert ("audit",) in ask(database, names)


@pytest.mark.parametrize("is_retry", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"label": "a\x00b"},
        {"request_id": "\x00"},
        {"label": "half \ud83d"},
        {"features": msgspec.Raw(b'{"a": NaN}')},
        {"features": msgspec.Raw(b'{"a": "\xff"}')},
        {"features": msgspec.Raw(b"")},
        {"features": msgspec.Raw(b"[" * 200_000 + b"]" * 200_000)},
        {"decode_us": 2**31},
        {"queue_us": -1},
        {"subject": "x" * 100_000 + "".join(map(chr, range(0x4E00, 0x9FFF)))},
        {"id": "no-id"},
        {"id": name().upper()},
        {"id": "00000000-0000-4000-8000-000000000000"},
        {"id": "ffffffff-ffff-7000-8000-000000000000"},
    ],
)
def test_what_can_never_be_stored_is_refused(
    store: Store, changes: dict[str, Any], is_retry: bool
) -> None:
    """One bad record refuses its write, says no value of it, and leaves the store usable."""
    good = minutes(3)
    bad = record(**changes)
    with pytest.raises(RowsRefused) as raised:
        store.write([*good, bad], is_retry=is_retry)
    assert len(str(raised.value)) < 100
    assert raised.value.__cause__ is None
    assert list(store.read(ALL)) == []
    store.write(good, is_retry=is_retry)
    assert list(store.read(ALL)) == good


def test_a_bad_outcome_is_refused(store: Store) -> None:
    """Text that cannot be stored, and what is no id, refuses all outcomes of a call."""
    good = record()
    store.write([good], is_retry=False)
    for bad in ((good.id, "a\x00", "r"), (good.id, "\udc80", "r"), ("no-id", "1", "r")):
        with pytest.raises(RowsRefused):
            store.write_outcomes([(good.id, "1", "r"), bad])
    assert store.revisions(good.id) == []
    assert store.write_outcomes([(good.id, "1", "r")]) == ["recorded"]


def test_a_write_of_many_days_is_one(store: Store) -> None:
    """A write over several partitions is stored whole or not at all."""
    days = [record(NOON + day * DAY) for day in range(5)]
    with pytest.raises(RowsRefused):
        store.write([*days, record(NOON + 5 * DAY, label="\x00")], is_retry=False)
    assert list(store.read(ALL)) == []
