"""The job over the other stores: a real PostgreSQL with the job's own role, and Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bentos.model.contract import Contract
from bentos.records.opening import open_drift_log
from monitoring.drift import job
from monitoring.drift.settings import Settings
from tests.monitoring.conftest import NOW, QUICK, make_frame, write_log
from tests.monitoring.servers import postgresql


@pytest.fixture
def database() -> Iterator[str]:
    """URL of a real PostgreSQL up to its user."""
    try:
        with postgresql() as url:
            yield url
    except FileNotFoundError:
        reason = "PostgreSQL's server is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def work_twice(url: str, job_url: str, contract: Contract, reference: bytes) -> None:
    """Write a log as the service does, run the job over it twice, and read the results."""
    log = write_log(url, contract, reference)
    records = log.add(make_frame(1_000, seed=3).assign(income=1.0))
    log.store.write_outcomes([(item.id, str(place % 2), "r") for place, item in enumerate(records)])
    settings = Settings(store=job_url, limits=QUICK)
    for name, previous in (("run-1", None), ("run-2", "drift")):
        (item,) = job.work(settings, NOW, name)
        assert item.entry.outcome == "drift", item.entry.reason
        assert item.entry.performance is not None
        assert item.entry.performance.labels == 1_000
        assert item.previous == previous
    results = open_drift_log(job_url).last("tabserve_drift", "credit", "v1", 5)
    assert [result.signal for result in results] == [True, True]
    assert results[0].features[0].drifted
    log.store.close()


def test_postgresql_with_the_jobs_own_role(
    database: str, contract: Contract, reference_bytes: bytes
) -> None:
    """A member of tabserve_drift can do all that the job does, and sees no subjects."""
    owner = database.format("postgres")
    write_log(owner, contract, reference_bytes).store.close()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE ROLE job LOGIN IN ROLE tabserve_drift")
    work_twice(owner, database.format("job"), contract, reference_bytes)


def test_parquet(tmp_path: Path, contract: Contract, reference_bytes: bytes) -> None:
    """The job reads and writes a log of files."""
    url = f"parquet:{tmp_path}/log"
    work_twice(url, url, contract, reference_bytes)
