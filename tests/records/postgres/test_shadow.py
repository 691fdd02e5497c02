"""Shadow rows in PostgreSQL: who may see them."""

from __future__ import annotations

from collections.abc import Callable

from bentos.records.postgres.store import PostgresStore
from bentos.records.record import Window
from bentos.records.store import Store
from tests.records.postgres.asking import as_role, ask
from tests.records.postgresql import Server
from tests.records.predictions import ALL, record

SHADOWS = Window(is_shadow=True)


def test_the_drift_role_sees_both_apart(
    server: Server,
    database: str,
    logins: Callable[..., str],
    open_log: Callable[[str], Store],
) -> None:
    """The views give answers alone and shadow rows alone, as do other programs' queries."""
    answer = record(subject="mine")
    beside = record(shadow=answer.id, version="2")
    owner = open_log(database)
    owner.write([answer, beside], is_retry=False)
    owner.write_outcomes([(answer.id, "1", "r")])
    drift = PostgresStore(as_role(database, logins("tabserve_drift")))
    drift.check()
    assert [one.id for one in drift.read(ALL)] == [answer.id]
    assert [(one.id, one.shadow) for one in drift.read(SHADOWS)] == [(beside.id, answer.id)]
    assert [one.version for one in drift.versions(SHADOWS)] == ["2"]
    assert [(one.id, one.outcome) for one in drift.outcomes(SHADOWS)] == [(beside.id, "1")]
    assert drift.sample(SHADOWS, 5, 0)[0].id == beside.id
    drift.close()
    assert ask(database, "SELECT version FROM tabserve.drift_predictions") == [("1",)]
