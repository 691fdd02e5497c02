"""Which store a URL names, for predictions and for drift results.

sqlite:///PATH              one file; an empty PATH is records.db under the data directory
postgresql://...            a database, partitioned by day
parquet:PATH or parquet:URL files by day, in a folder or anywhere fsspec reaches
none                        no log

A store's own packages are imported only when its URL is opened: psycopg and pyarrow are
not needed by a process that uses SQLite.
"""

from __future__ import annotations

from pathlib import Path

from bentos.errors import ConfigurationError
from bentos.records.drift import DriftLog
from bentos.records.store import Store

NONE = "none"


def open_store(url: str, data_dir: Path = Path(".tabserve")) -> Store:
    """Make the store that a URL names, without connecting to it.

    Raises ConfigurationError, which never repeats the URL: it may hold a password.
    """
    kind, separator, rest = url.partition(":")
    if kind == "sqlite" and rest.startswith("///"):
        from bentos.records.sqlite.store import SqliteStore  # noqa: PLC0415 - only an opened store loads its packages

        return SqliteStore(Path(rest[3:]) if rest[3:] else data_dir / "records.db")
    if kind in ("postgresql", "postgres"):
        from bentos.records.postgres.store import PostgresStore  # noqa: PLC0415 - only an opened store loads its packages

        return PostgresStore(url)
    if kind == "parquet" and separator and rest:
        from bentos.records.parquet.store import ParquetStore  # noqa: PLC0415 - only an opened store loads its packages

        return ParquetStore(rest)
    raise ConfigurationError(
        "the store URL must be sqlite:///PATH, postgresql://..., parquet:PATH_OR_URL or none"
    )


def open_drift_log(url: str, data_dir: Path = Path(".tabserve")) -> DriftLog:
    """Make the log of drift results, in the store that the URL names (`open_store`).

    Raises ConfigurationError, which never repeats the URL.
    """
    kind, _, rest = url.partition(":")
    if kind == "sqlite" and rest.startswith("///"):
        from bentos.records.sqlite.drift import SqliteDriftLog  # noqa: PLC0415 - only an opened store loads its packages

        return SqliteDriftLog(Path(rest[3:]) if rest[3:] else data_dir / "records.db")
    if kind in ("postgresql", "postgres"):
        from bentos.records.postgres.drift import PostgresDriftLog  # noqa: PLC0415 - only an opened store loads its packages

        return PostgresDriftLog(url)
    if kind == "parquet" and rest:
        from bentos.records.parquet.drift import ParquetDriftLog  # noqa: PLC0415 - only an opened store loads its packages

        return ParquetDriftLog(rest)
    raise ConfigurationError(
        "drift results are kept in sqlite:///PATH or postgresql://...; this store has no place "
        "for them"
    )
