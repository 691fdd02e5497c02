"""Several workers: their metrics are one, also those of workers that are no more."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bentos.serving.exposition import directory

ROOT = Path(__file__).parents[3]


@pytest.fixture
def _own_environment() -> Iterator[None]:
    """Put the environment back: the directory's functions change it."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


# One worker: counts what it is told to, and stays or leaves.
_WORKER = """
import sys
from bentos.serving.exposition import directory
directory.join_directory()
from bentos.serving.exposition.metrics import Metrics
made = Metrics()
made.observe_rows("scored", int(sys.argv[1]))
made.observe_batch(128, int(sys.argv[1]), 0.0, "turn")
made.set_ready(is_ready=True)
made.flush()
if sys.argv[2] == "leave":
    directory.leave_directory()
elif sys.argv[2] == "show":
    print(made.render().decode())
"""


def run_worker(rows: int, then: str) -> dict[str, float]:
    """Run a worker to its end and read what it showed."""
    # A program of this file's own.
    shown = subprocess.run(
        [sys.executable, "-c", _WORKER, str(rows), then],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
        # BentoML sets it for its workers: prometheus_client looks when it is imported.
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": "."},
    ).stdout
    return {
        sample.name + str(sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }


@pytest.mark.usefixtures("_own_environment")
def test_workers_are_one() -> None:
    """Any worker answers for all; gauges of workers that stopped or were killed are left out."""
    directory.start_directory()
    run_worker(3, "leave")
    run_worker(4, "die")
    shown = run_worker(5, "show")
    assert shown["tabserve_rows_total['scored']"] == 12
    assert shown["tabserve_ready['1']"] == 1


@pytest.mark.usefixtures("_own_environment")
def test_directory_of_workers() -> None:
    """A worker takes the gauges of the dead out, and its own when it leaves; counters stay."""
    directory.start_directory()
    run_worker(3, "die")
    directory.join_directory()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert [path.name for path in folder.glob("gauge_live*")] == []
    assert b'tabserve_rows_total{outcome="scored"} 3.0' in directory.render(CollectorRegistry())
    ours = folder / f"gauge_livesum_{os.getpid()}.db"
    foreign = folder / "gauge_livesum_1.db"
    for path in (ours, foreign):
        path.touch()
    # Process 1 lives, whoever it belongs to.
    directory.join_directory()
    assert foreign.exists()
    directory.leave_directory()
    assert not ours.exists()


@pytest.mark.usefixtures("_own_environment")
def test_ended_workers_make_no_files() -> None:
    """However many workers ended, their counts are in one file a kind, and stay what they were."""
    directory.start_directory()
    for _ in range(3):
        run_worker(3, "die")
    shown = run_worker(1, "show")
    assert shown["tabserve_rows_total['scored']"] == 10
    assert shown["tabserve_batch_rows_count[]"] == 4
    assert shown["tabserve_batch_rows_bucket['2.0']"] == 1
    # One of ended workers, and one of the worker that has just shown all.
    folder = Path(os.environ["_TABSERVE_METRICS_DIR"])
    for kind in ("counter", "histogram"):
        assert len(list(folder.glob(f"{kind}_*.db"))) == 2


@pytest.mark.usefixtures("_own_environment")
def test_a_scrape_waits_for_the_adding_up() -> None:
    """Nothing is read while files of ended workers are added up: a count would be there twice."""
    directory.start_directory()
    directory.join_directory()
    rendered: list[bytes] = []
    scrape = threading.Thread(target=lambda: rendered.append(directory.render(CollectorRegistry())))
    with (Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scrape.start()
        scrape.join(0.3)
        assert scrape.is_alive()
    scrape.join(10)
    assert rendered == [b""]


@pytest.mark.usefixtures("_own_environment")
def test_without_directory() -> None:
    """A process that no supervisor started has its numbers to itself."""
    directory.join_directory()
    directory.leave_directory()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
