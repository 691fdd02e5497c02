"""Faults of the database."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from psycopg import sql

from tests.faults.fault import Proof
from tests.faults.rig import ROLE, Rig

_CHANGE = "{} INSERT ON ALL TABLES IN SCHEMA tabserve {} {}"


@contextlib.contextmanager
def kill(rig: Rig) -> Iterator[Proof]:
    """`kill -9` and, at the end, a start."""
    assert rig.database is not None
    rig.database.kill()
    try:
        yield lambda: rig.says("the prediction log is down")
    finally:
        rig.database.start()


@contextlib.contextmanager
def freeze(rig: Rig) -> Iterator[Proof]:
    """SIGSTOP to all of its processes."""
    rig.signal_database(signal.SIGSTOP)
    try:
        yield lambda: rig.waits_for_log(160)
    finally:
        rig.signal_database(signal.SIGCONT)


@contextlib.contextmanager
def half_open(rig: Rig) -> Iterator[Proof]:
    """Nothing comes through any more, and neither side is told."""
    rig.proxy.stall()
    try:
        yield lambda: rig.waits_for_log(160)
    finally:
        rig.proxy.heal()


@contextlib.contextmanager
def revoke(rig: Rig) -> Iterator[Proof]:
    """Take the right to insert from the service's role."""
    assert rig.database is not None
    database = rig.direct_url.rpartition("/")[2]

    def change(verb: str, to: str) -> None:
        assert rig.database is not None
        statement = sql.SQL(_CHANGE).format(sql.SQL(verb), sql.SQL(to), sql.Identifier(ROLE))
        rig.database.execute(statement, database)

    change("REVOKE", "FROM")
    try:
        yield lambda: rig.says("this role of PostgreSQL may not") and rig.waits_for_log(80)
    finally:
        change("GRANT", "TO")
