"""The log's small JSON files: its schema, registrations, environments, events.

A registration's reference is a Parquet file next to it. Names are digests: a model's name may be
longer than a file's name, hold slashes, or differ in case alone.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeVar

import msgspec

from bentos.errors import StoreDown
from bentos.ids import from_milliseconds, milliseconds, new_id
from bentos.records.parquet.files import SCHEMA, Files
from bentos.records.record import Environment, Event, Registration, encode

REGISTRATIONS = "registrations"
ENVIRONMENTS = "environments"
EVENTS = "events"

# 2: predictions have `reasons`; files of before have no such column, and are read as if they had.
# An older tabserve would lose it where it writes a file anew.
VERSION = 2

_T = TypeVar("_T")


class _Schema(msgspec.Struct):
    schema: int


class _Registered(msgspec.Struct):
    registration: Registration
    has_reference: bool


def read_schema(files: Files) -> int:
    """Which schema the log has; 0 where it has none yet. Raises StoreDown for a newer one."""
    found = _load(files, SCHEMA, _Schema) if files.exists(SCHEMA) else None
    if found is not None and found.schema > VERSION:
        raise StoreDown(
            f"the log has schema {found.schema}, this tabserve knows {VERSION}: "
            "a newer tabserve made it"
        )
    return 0 if found is None else found.schema


def write_schema(files: Files) -> None:
    """Say which schema the log has. Two at once write the same."""
    files.write(SCHEMA, encode(_Schema(VERSION)))


def write_registration(files: Files, registration: Registration) -> None:
    """Write down a model version, unless it is known."""
    path = _registration_path(registration.model, registration.version)
    if files.exists(f"{path}.json"):
        return
    if registration.reference is not None:
        files.write(f"{path}.parquet", registration.reference)
    has_reference = registration.reference is not None
    files.write(f"{path}.json", encode(_Registered(registration.bare, has_reference)))


def read_registration(files: Files, model: str, version: str) -> Registration | None:
    """What was registered of a model version."""
    path = _registration_path(model, version)
    found = _load(files, f"{path}.json", _Registered)
    if found is None:
        return None
    reference = files.read(f"{path}.parquet") if found.has_reference else None
    return msgspec.structs.replace(found.registration, reference=reference)


def write_environment(files: Files, environment: Environment) -> None:
    """Write down an environment, unless it is known."""
    path = _environment_path(environment.id)
    if not files.exists(path):
        files.write(path, encode(environment))


def read_environment(files: Files, environment_id: str) -> Environment | None:
    """What was registered under an environment's id."""
    return _load(files, _environment_path(environment_id), Environment)


def write_event(files: Files, event: Event) -> None:
    """Write down an event, its time to the millisecond."""
    event = msgspec.structs.replace(event, time=from_milliseconds(milliseconds(event.time)))
    # Ids of writes are ordered by time.
    files.write(f"{EVENTS}/{new_id()}.json", encode(event))


def read_events(files: Files) -> list[Event]:
    """Every event, in the order in which they were written down."""
    names = [name for name in files.names(EVENTS) if name.endswith(".json")]
    found = [_load(files, f"{EVENTS}/{name}", Event) for name in names]
    return [event for event in found if event is not None]


def _load(files: Files, path: str, kind: type[_T]) -> _T | None:
    content = files.read(path)
    try:
        return None if content is None else msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError:
        # Not the message: it may quote a value.
        raise StoreDown(f"a file of the log is damaged: {path}") from None


def _registration_path(model: str, version: str) -> str:
    return f"{REGISTRATIONS}/{sha256(encode([model, version])).hexdigest()}"


def _environment_path(environment_id: str) -> str:
    return f"{ENVIRONMENTS}/{sha256(encode(environment_id)).hexdigest()}.json"
