"""The log in Parquet files is read by DuckDB, which knows nothing of tabserve."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bentos.records.parquet.store import ParquetStore
from bentos.records.record import (
    Window,
)
from tests.records.predictions import DAY, NOON, minutes, record

# DuckDB, a query and its parameters, and nothing of ours.
_DUCKDB = """
import json, sys
import duckdb
query, parameters = json.load(sys.stdin)
with duckdb.connect() as connection:
    print(json.dumps(connection.execute(query, parameters).fetchall()))
"""


def ask_duckdb(query: str, folder: Path) -> list[list[object]]:
    """The rows of a query on the log in a folder, by DuckDB in a process of its own.

    `$predictions` and `$outcomes` are the files of a kind, as a folder may have any name.
    """
    places = {
        kind: f"{folder}/{kind}/*/*.parquet"
        for kind in ("predictions", "outcomes")
        if f"${kind}" in query
    }
    # -I: neither this project nor its environment's variables are seen.
    asked = subprocess.run(
        [sys.executable, "-I", "-c", _DUCKDB],
        input=json.dumps([query, places]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    rows: list[list[object]] = json.loads(asked.stdout)
    return rows


def test_duckdb_reads_the_log(local: ParquetStore, folder: Path) -> None:
    """The query of the module's docstring gives typed columns, dates, and features by name."""
    local.write(minutes(3) + minutes(2, NOON + DAY, score=None), is_retry=False)
    local.write_outcomes([(next(local.read(Window())).id, "1", "f")])
    rows = ask_duckdb(
        "SELECT date::text, time = date + INTERVAL 12 HOUR, (features->>'age')::int, score "
        "FROM read_parquet($predictions) ORDER BY id",
        folder,
    )
    assert [row[0] for row in rows] == ["2026-11-21"] * 3 + ["2026-11-22"] * 2
    assert [row[2:] for row in rows] == [[30, 0.25]] * 3 + [[30, None]] * 2
    joined = ask_duckdb(
        "SELECT count(*), max(outcome) "
        "FROM read_parquet($predictions) JOIN read_parquet($outcomes) USING (id)",
        folder,
    )
    assert joined == [[1, "1"]]
    bare = f"SELECT count(*) FROM '{folder}/predictions/*/*.parquet'"  # noqa: S608 - as a user types it
    assert ask_duckdb(bare, folder) == [[5]]


def test_duckdb_alone_reads_what_we_read(local: ParquetStore, folder: Path) -> None:
    """One query of DuckDB gives each prediction once with its last outcome, as our reader does.

    The files hold a row that two writes stored, an outcome that was revised, and rows of a
    subject that was erased; nothing but the files and DuckDB is needed to read them right.
    """
    rows = minutes(4)
    local.write(rows[:3], is_retry=False)
    local.write(rows[1:], is_retry=False)
    local.write([record(NOON + DAY, subject="erased")], is_retry=False)
    local.write_outcomes([(rows[0].id, "0", "first"), (rows[1].id, "1", "first")])
    local.write_outcomes([(rows[0].id, "1", "second")])
    local.forget(["erased"], NOON + 2 * DAY)
    query = """
        SELECT prediction.id, score, last.outcome
        FROM (SELECT DISTINCT ON (id) * FROM read_parquet($predictions) ORDER BY id) AS prediction
        LEFT JOIN (
            SELECT DISTINCT ON (id) * FROM read_parquet($outcomes)
            ORDER BY id, revision DESC, received DESC
        ) AS last USING (id)
        ORDER BY prediction.id
    """
    found = ask_duckdb(query, folder)
    outcomes = {one.id: one.outcome for one in local.outcomes(Window())}
    assert found == [[one.id, one.score, outcomes.get(one.id)] for one in local.read(Window())]
    assert [row[2] for row in found] == ["1", "1", None, None]
