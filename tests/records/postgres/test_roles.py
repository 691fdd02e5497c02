"""Roles in PostgreSQL: each may do what its part of the system needs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from psycopg import sql

from bentos.errors import StoreDown
from bentos.records.record import Event
from bentos.records.store import Store
from tests.records.postgres.asking import TABLES, as_role, partitions, session, tell
from tests.records.postgresql import Server
from tests.records.predictions import (
    ALL,
    DAY,
    ENVIRONMENT,
    NOON,
    REGISTRATION,
    by_id,
    minutes,
)

OTHERS = ("migrations", "drift_predictions", "drift_shadows")

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def test_the_service_writes_and_cannot_read(
    store: Store, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """All that the service does works for its role; reading what was said of whom does not."""
    service = open_log(as_role(database, logins("tabserve_service")))
    service.register(REGISTRATION, ENVIRONMENT)
    service.register(REGISTRATION, ENVIRONMENT)
    stored = minutes(3, subject="mine") + minutes(2, NOON - 40 * DAY)
    service.write(stored[:4], is_retry=False)
    service.write(stored, is_retry=False)
    service.write(stored, is_retry=True)
    assert service.find([one.id for one in stored]) == {one.id: ("credit", "1") for one in stored}
    assert service.write_outcomes([(stored[0].id, "1", "r"), (stored[4].id, "0", "r")]) == [
        "recorded",
        "recorded",
    ]
    assert service.write_outcomes([(stored[0].id, "1", "r")]) == ["unchanged"]
    assert service.registration("credit", "1") == REGISTRATION
    assert service.environment("e") == ENVIRONMENT
    refused: list[Callable[[], object]] = [
        lambda: list(service.read(ALL)),
        lambda: service.get(stored[0].id),
        lambda: list(service.of_subject(["mine"])),
        lambda: service.sample(ALL, 1, 0),
        lambda: service.versions(ALL),
        lambda: list(service.outcomes(ALL)),
        lambda: service.revisions(stored[0].id),
        lambda: service.forget(["mine"], NOON),
        lambda: service.drop_before(NOON),
        lambda: service.note(Event(NOON, "x", {})),
        service.events,
    ]
    for act in refused:
        with pytest.raises(StoreDown, match="may not do that"):
            act()
    assert list(store.read(ALL)) == by_id(stored)


def test_late_rows_of_the_service_are_held_to_the_erasures(
    store: Store, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """The service cannot see who was erased, and still cannot bring them back."""
    store.forget(["mine"], NOON + DAY)
    service = open_log(as_role(database, logins("tabserve_service")))
    service.write(minutes(2, subject="mine"), is_retry=False)
    service.write(minutes(2, subject="mine"), is_retry=True)
    assert list(store.read(ALL)) == []


def test_the_drift_reader_sees_no_subjects(
    store: Store, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """A drift job reads windows, samples and outcomes, without whom they are about."""
    stored = minutes(50, subject="mine", subject_key="k", consumer="key-1")
    store.write(stored, is_retry=False)
    store.register(REGISTRATION, ENVIRONMENT)
    store.write_outcomes([(stored[0].id, "1", "of-whom")])
    drift = open_log(as_role(database, logins("tabserve_drift")))
    hidden = {"subject": None, "subject_key": None, "consumer": None, "request_id": ""}
    seen = [msgspec.structs.replace(one, **hidden) for one in stored]
    assert list(drift.read(ALL)) == seen
    assert drift.get(stored[7].id) == seen[7]
    assert drift.versions(ALL) == store.versions(ALL)
    assert [one.id for one in drift.sample(ALL, 9, 3)] == [
        one.id for one in store.sample(ALL, 9, 3)
    ]
    assert [(x.outcome, x.request_id) for x in drift.outcomes(ALL)] == [("1", "")]
    assert [(x.outcome, x.request_id) for x in drift.revisions(stored[0].id)] == [("1", "")]
    assert drift.registration("credit", "1") == REGISTRATION
    assert drift.environment("e") == ENVIRONMENT
    refused: list[Callable[[], object]] = [
        lambda: list(drift.of_subject(["mine"])),
        lambda: drift.write(minutes(1), is_retry=False),
        lambda: drift.write_outcomes([(stored[0].id, "0", "r")]),
        lambda: drift.find([stored[0].id]),
        lambda: drift.register(msgspec.structs.replace(REGISTRATION, version="9"), ENVIRONMENT),
        lambda: drift.forget(["mine"], NOON),
        lambda: drift.drop_before(NOON + DAY),
        drift.events,
    ]
    for act in refused:
        with pytest.raises(StoreDown):
            act()
    assert list(store.read(ALL)) == stored


def test_roles_have_these_rights_and_no_other(store: Store, database: str) -> None:
    """Every right of both roles, and of everybody, on everything in the schema."""
    expected = {
        "tabserve_service": {
            ("predictions", "INSERT"),
            ("registrations", "INSERT"),
            ("registrations", "SELECT"),
            ("environments", "INSERT"),
            ("environments", "SELECT"),
            ("migrations", "SELECT"),
        },
        "tabserve_drift": {
            ("drift_predictions", "SELECT"),
            ("drift_shadows", "SELECT"),
            ("registrations", "SELECT"),
            ("environments", "SELECT"),
            ("migrations", "SELECT"),
        },
    }
    functions = {
        "tabserve_service": {"make_partitions", "find_predictions", "add_outcomes"},
        "tabserve_drift": set(),
    }
    parts = partitions(database)
    assert parts
    with session(database) as connection:

        def has(statement: str, *parameters: str) -> bool:
            row = connection.execute(f"SELECT {statement}".encode(), parameters).fetchone()
            return row == (True,)

        for role, rights in expected.items():
            found = {
                (table, right)
                for table in (*TABLES, *OTHERS, *parts)
                for right in RIGHTS
                if has("has_table_privilege(%s, %s, %s)", role, f"tabserve.{table}", right)
            }
            assert found == rights
            assert has("has_schema_privilege(%s, 'tabserve', 'USAGE')", role)
            assert not has("has_schema_privilege(%s, 'tabserve', 'CREATE')", role)
            columns = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'tabserve.outcomes'::regclass "
                "AND attnum > 0 AND has_column_privilege(%s, attrelid, attnum, 'SELECT')",
                (role,),
            ).fetchall()
            seen = {"time", "id", "revision", "outcome", "received"}
            assert {name for (name,) in columns} == (seen if role == "tabserve_drift" else set())
            callable_by = connection.execute(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'tabserve'::regnamespace "
                "AND has_function_privilege(%s, oid, 'EXECUTE')",
                (role,),
            ).fetchall()
            assert {name for (name,) in callable_by} == functions[role]
        unsafe = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'tabserve'::regnamespace "
            "AND NOT 'search_path=pg_catalog, pg_temp' = ANY(coalesce(proconfig, '{}'))"
        ).fetchall()
        assert unsafe == []
        hidden = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attnum > 0 "
            "AND attrelid = 'tabserve.drift_predictions'::regclass"
        ).fetchall()
        assert not {"subject", "subject_key", "request_id", "consumer"} & {x for (x,) in hidden}


def test_the_log_goes_without_roles(
    fragile: Server, open_log: Callable[[str], Store], caplog: pytest.LogCaptureFixture
) -> None:
    """An owner who may make no roles gets a log and a warning, and roles later."""
    url = fragile.make_database("plain")
    store = open_log(url)
    assert [line for line in caplog.messages if "takes CREATEROLE" in line]
    store.write(minutes(2), is_retry=False)
    assert len(list(store.read(ALL))) == 2
    fragile.execute(sql.SQL("CREATE ROLE tabserve_drift NOLOGIN").format())
    fragile.execute(sql.SQL("CREATE ROLE late_reader LOGIN IN ROLE tabserve_drift").format())
    tell(url, "SELECT tabserve.grant_roles()")
    assert len(list(open_log(as_role(url, "late_reader")).read(ALL))) == 2
