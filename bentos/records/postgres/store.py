"""The log in PostgreSQL, 14 or newer: for a cluster.

Partitioned by UTC day in a schema of its own, `tabserve`. It works for the schema's owner,
for members of `tabserve_service`, who write and cannot read, and for members of
`tabserve_drift`, who read without seeing whom a prediction is about or who asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
from psycopg import errors

from bentos.errors import RowsRefused, StoreDown
from bentos.ids import EPOCH, from_milliseconds, start_of_day, time_of
from bentos.records.postgres import erasure, schema, writing
from bentos.records.postgres import rows as row_codec
from bentos.records.postgres.access import Access
from bentos.records.postgres.session import Connection
from bentos.records.record import (
    MOST_REVISIONS,
    Environment,
    Event,
    Outcome,
    OutcomeStatus,
    Record,
    Registration,
    Version,
    Window,
    encode,
    to_outcome,
)
from bentos.records.request import RecordedRequest, unpack

_MS = "(extract(epoch FROM {}) * 1000)::int8"
_OUTCOME = f"id::text, outcome, revision, {_MS.format('received')}"

# How much older an answer may be than the shadow row that names it, in hours: more than a request
# can wait to be mirrored.
_SHADOW_LAG_HOURS = 1

_ANSWERS = Window()

# The last 32 bits of an id are random: beginning at the seed, round the circle.
_TAIL = "substring(uuid_send(id) FROM 13)"


class PostgresStore:
    """A prediction log in a PostgreSQL database."""

    # A COPY costs some 250 us of this process's time, and each of its rows about 3 us.
    max_rows = 4096
    gather_seconds = 0.0

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError for what is no URL of PostgreSQL."""
        self._access = Access(url)
        self._sees_all: bool | None = None

    def prepare(self) -> None:
        """Connect, migrate the schema where it is old, and make the coming partitions."""
        with self._access.working(is_patient=True) as connection:
            schema.bring_up_to_date(connection)
            schema.make_ahead(connection)

    def check(self) -> None:
        """Connect and look at the schema."""
        with self._access.working(is_patient=True) as connection:
            schema.check_schema(connection)

    def register(self, registration: Registration, environment: Environment) -> None:
        """Write down a model version and an environment, unless they are known."""
        with self._access.working() as connection, connection.transaction():
            connection.execute(
                "INSERT INTO tabserve.registrations VALUES (%s, %s, %s, %b) ON CONFLICT DO NOTHING",
                (
                    registration.model,
                    registration.version,
                    encode(registration.bare).decode(),
                    registration.reference,
                ),
            )
            connection.execute(
                "INSERT INTO tabserve.environments VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (environment.id, bytes(environment.document).decode()),
            )

    def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
        """Store all records or none; what is there by its id stays as it is.

        A retry goes through a temporary table: COPY itself cannot leave out what is there.
        """
        if not records:
            return
        try:
            rows, days = row_codec.to_rows(records)
        except (TypeError, ValueError) as error:
            raise RowsRefused(f"a record cannot be encoded: {type(error).__name__}") from None
        with self._access.working() as connection:
            self._access.make_days(connection, days)
            try:
                (writing.merge if is_retry else writing.append)(connection, rows)
            except errors.UniqueViolation:
                writing.merge(connection, rows)
            except errors.CheckViolation:
                # Our tables have no checks: somebody dropped a partition that we knew.
                self._access.forget_days()
                self._access.make_days(connection, days)
                writing.merge(connection, rows)

    def write_requests(self, requests: Sequence[RecordedRequest], *, is_retry: bool) -> None:
        """As `write`: the rows become records first."""
        self.write(unpack(requests), is_retry=is_retry)

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, streaming, as they were when it began."""
        condition, parameters = row_codec.where(window)
        with self._access.reading() as connection:
            statement = self._select(connection, condition, window)
        return map(row_codec.to_record, self._access.stream(statement, parameters))

    def get(self, prediction_id: str) -> Record | None:
        """One record by its id."""
        key = _key(prediction_id)
        if key is None:
            return None
        with self._access.reading() as connection:
            statement = self._select(connection, "time = %s AND id = %s")
            row = connection.execute(statement, key, binary=True).fetchone()
        return None if row is None else row_codec.to_record(row)

    def versions(self, window: Window) -> list[Version]:
        """Which model versions made predictions in a window, and how many."""
        condition, parameters = row_codec.where(window)
        with self._access.reading() as connection:
            source = self._source(connection, window)
            rows = connection.execute(
                f"SELECT model, version, contract, count(*) FROM {source} "  # noqa: S608 - our own text
                f"WHERE {condition} GROUP BY 1, 2, 3 "
                'ORDER BY model COLLATE "C", version COLLATE "C", contract COLLATE "C"'.encode(),
                parameters,
            ).fetchall()
        return [Version(*row) for row in rows]

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]:
        """At most so many records of a window, picked by the random end of their ids."""
        condition, parameters = row_codec.where(window)
        start = (seed % 2**32).to_bytes(4, "big")
        with self._access.reading() as connection:
            source = self._source(connection, window)
            picked = (
                f"SELECT time, id FROM {source} WHERE {condition} "  # noqa: S608 - our own text
                f"ORDER BY {_TAIL} < %s, {_TAIL}, id LIMIT %s"
            )
            found = connection.execute(
                self._select(connection, f"(time, id) IN ({picked})", window),
                (*parameters, start, rows),
                binary=True,
            ).fetchall()
        return list(map(row_codec.to_record, found))

    def registration(self, model: str, version: str) -> Registration | None:
        """What was registered of a model version."""
        with self._access.reading() as connection:
            row = connection.execute(
                "SELECT document::text, reference FROM tabserve.registrations "
                "WHERE model = %s AND version = %s",
                (model, version),
                binary=True,
            ).fetchone()
        if row is None:
            return None
        bare = msgspec.json.decode(row[0], type=Registration)
        return msgspec.structs.replace(bare, reference=row[1])

    def environment(self, environment_id: str) -> Environment | None:
        """What was registered under an environment's id."""
        with self._access.reading() as connection:
            row = connection.execute(
                "SELECT document::text FROM tabserve.environments WHERE id = %s",
                (environment_id,),
            ).fetchone()
        return None if row is None else Environment(environment_id, msgspec.Raw(row[0]))

    def find(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Model and version of each prediction that is stored, by its id."""
        keys = [key for key in map(_key, ids) if key is not None]
        if not keys:
            return {}
        times, known = zip(*keys, strict=True)
        with self._access.working() as connection:
            rows = connection.execute(
                "SELECT id::text, model, version "
                "FROM tabserve.find_predictions(%s::timestamptz[], %s::uuid[])",
                (list(times), list(known)),
            ).fetchall()
        return {name: (model, version) for name, model, version in rows}

    def write_outcomes(self, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
        """Store outcomes `(id, outcome, request_id)`; gives for each what became of it."""
        if not outcomes:
            return []
        ids, values, request_ids = (list(column) for column in zip(*outcomes, strict=True))
        try:
            times = [time_of(prediction_id) for prediction_id in ids]
        except ValueError:
            raise RowsRefused("an outcome has an id that is no UUIDv7") from None
        with self._access.working() as connection:
            self._access.make_days(connection, {(time - EPOCH).days for time in times})
            row = connection.execute(
                "SELECT tabserve.add_outcomes("
                "%s::timestamptz[], %s::uuid[], %s::text[], %s::text[], %s)",
                (times, ids, values, request_ids, MOST_REVISIONS),
            ).fetchone()
        return [] if row is None else list(row[0])

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last revision of each outcome of a window's predictions, by id, streaming."""
        condition, parameters = row_codec.where(window)
        with self._access.reading() as connection:
            source = self._source(connection, window)
        # The request of an outcome and that of its prediction have one name: only the
        # table of the outcomes is asked for it.
        request = "outcome.request_id" if self._sees_all else "''"
        if window.is_shadow:
            # Each under its own id, with the outcome of the answer that it names.
            joined = (
                f"(SELECT time, id, shadow FROM {source} WHERE {condition}) AS made "  # noqa: S608 - our own text
                "JOIN (SELECT time AS answered, id::text AS answer, outcome, revision, received"
                f"{', request_id' if self._sees_all else ''} FROM tabserve.outcomes "
                f"WHERE time >= %s - interval '{_SHADOW_LAG_HOURS} hours' AND time < %s) "
                "AS outcome ON answer = shadow"
            )
            parameters = [*parameters, *parameters[:2]]
            condition = "true"
        else:
            joined = f"tabserve.outcomes AS outcome JOIN {source} AS made USING (time, id)"
        rows = self._access.stream(
            f"SELECT DISTINCT ON (time, id) {_OUTCOME}, {request} FROM {joined} "  # noqa: S608 - our own text
            f"WHERE {condition} ORDER BY time, id, revision DESC".encode(),
            parameters,
        )
        return (to_outcome(row) for row in rows)

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, the first one first."""
        key = _key(prediction_id)
        if key is None:
            return []
        with self._access.reading() as connection:
            self._source(connection, _ANSWERS)
            request = "request_id" if self._sees_all else "''"
            rows = connection.execute(
                f"SELECT {_OUTCOME}, {request} FROM tabserve.outcomes "  # noqa: S608 - our own text
                "WHERE time = %s AND id = %s ORDER BY revision".encode(),
                key,
            ).fetchall()
        return [to_outcome(row) for row in rows]

    def of_subject(self, tokens: Sequence[str]) -> Iterator[Record]:
        """The records of one subject under any of its tokens, by id.

        Those in a partition that a retention detached and did not drop, too; one that is at
        work is waited for.
        """
        with self._access.alone() as connection:
            connection.execute("SET statement_timeout = 0")
            yield from erasure.read_subject(connection, tokens)

    def forget(self, tokens: Sequence[str], now: datetime) -> dict[str, int]:
        """Erase a subject's rows, in partitions that a retention left detached too; bar late ones.

        No query finds them afterwards. Their bytes stay in the files until the server writes
        over them: in the free space of their pages, and in its write-ahead log.
        """
        with self._access.working(is_patient=True) as connection:
            erasure.bar(connection, tokens, now)
            erased, parts = erasure.erase(connection, tokens)
        # Where this fails, or an old reader still sees a row, the server's own does it later.
        with suppress(StoreDown), self._access.alone() as connection:
            erasure.vacuum(connection, parts)
        return erased

    def scrub(self) -> None:
        """Nothing: the server's own vacuum takes what `forget` could not."""

    def drop_before(self, time: datetime) -> dict[str, int]:
        """Drop the partitions of the days before the one that `time` is in, UTC.

        Neither writers nor readers wait for it; it waits for readers of the log.
        """
        # On a connection of its own, which takes its lock and its settings with it.
        with self._access.alone() as connection:
            dropped = erasure.drop_days(connection, start_of_day(time))
        self._access.forget_days()
        return dropped

    def note(self, event: Event) -> None:
        """Write down something that was done to the log."""
        with self._access.working() as connection:
            connection.execute(
                "INSERT INTO tabserve.events (time, action, details) VALUES (%s, %s, %s)",
                (event.time, event.action, encode(event.details).decode()),
            )

    def events(self) -> list[Event]:
        """What was done to the log, the first one first."""
        with self._access.reading() as connection:
            rows = connection.execute(
                f"SELECT {_MS.format('time')}, action, details::text FROM tabserve.events "  # noqa: S608 - our own text
                "ORDER BY number".encode()
            ).fetchall()
        return [Event(from_milliseconds(t), a, msgspec.json.decode(d)) for t, a, d in rows]

    def close(self) -> None:
        """Close the connection."""
        self._access.close()

    def _source(self, connection: Connection, window: Window) -> str:
        # Read through the view that hides subjects, unless this role may see them.
        if self._sees_all is None:
            row = connection.execute(
                "SELECT has_table_privilege('tabserve.predictions', 'SELECT')"
            ).fetchone()
            self._sees_all = row is not None and bool(row[0])
        if self._sees_all:
            return "tabserve.predictions"
        return "tabserve.drift_shadows" if window.is_shadow else "tabserve.drift_predictions"

    def _select(self, connection: Connection, condition: str, window: Window = _ANSWERS) -> bytes:
        source = self._source(connection, window)
        columns = row_codec.selected(sees_all=bool(self._sees_all))
        return f"SELECT {columns} FROM {source} WHERE {condition} ORDER BY time, id".encode()  # noqa: S608 - our own text


def _key(prediction_id: str) -> tuple[datetime, str] | None:
    # What is no id of ours cannot be stored.
    try:
        return time_of(prediction_id), prediction_id
    except ValueError:
        return None
