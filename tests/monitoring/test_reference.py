"""What a window is compared with: training, the weeks before, a span, the last accepted window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bentos.records.opening import open_drift_log
from monitoring.drift import job
from monitoring.drift.choice import read_choice
from monitoring.drift.decision.findings import Entry
from monitoring.drift.settings import Settings
from tests.monitoring.conftest import NOW, QUICK, Written, make_frame

WEEK = timedelta(weeks=1)


def run(log: Written, name: str, until: datetime = NOW, **options: object) -> Entry:
    """One run over the hour before `until`."""
    settings = Settings(store=log.url, limits=QUICK, window=timedelta(hours=1), until=until)
    (item,) = job.work(replace(settings, **options), NOW, name)  # type: ignore[arg-type]  # its fields
    return item.entry


def test_weeks_are_the_same_hours_of_the_same_weekday() -> None:
    """Whole weeks back, the oldest first; a window of ten days steps two weeks each time."""
    choice = read_choice("weeks:2", "here")
    hour = timedelta(hours=1)
    assert choice.list_spans(NOW - hour, NOW) == [
        (NOW - 2 * WEEK - hour, NOW - 2 * WEEK),
        (NOW - WEEK - hour, NOW - WEEK),
    ]
    assert choice.list_spans(NOW - timedelta(days=10), NOW)[-1][1] == NOW - 2 * WEEK


def test_a_span_is_written_as_it_was_read() -> None:
    """In UTC: the result says which reference it was."""
    choice = read_choice("2026-11-01T02:00:00+02:00/2026-11-02T00:00:00Z", "here")
    assert str(choice) == "2026-11-01T00:00:00+00:00/2026-11-02T00:00:00+00:00"
    assert choice.list_spans(NOW, NOW) == [
        (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    ]


def test_traffic_like_the_weeks_before_is_no_drift(log: Written) -> None:
    """It drifts from training and not from the same hour of the weeks before; both are recorded."""
    for weeks in range(4):
        frame = make_frame(700, seed=10 + weeks)
        frame["income"] *= 3.0
        log.add(frame, end=NOW - weeks * WEEK)
    training = run(log, "run-1")
    weekly = run(log, "run-2", reference="weeks:3", job_name="weekly")
    assert (training.outcome, training.reference) == ("drift", "training")
    assert (weekly.outcome, weekly.reference) == ("no_drift", "weeks:3")
    assert weekly.reference_rows == 2_100
    results = open_drift_log(log.url)
    (stored,) = results.last("weekly", "credit", "v1", 5)
    assert (stored.reference, stored.distinct, stored.accepted) == ("weeks:3", 700, False)


def test_a_version_without_a_reference_is_compared_with_the_log(log: Written) -> None:
    """A span of the log stands in for what training did not leave."""
    log.register("v2", reference=None)
    log.add(make_frame(700, seed=3), "v2", end=NOW - timedelta(days=2))
    log.add(make_frame(700, seed=4), "v2")
    assert run(log, "run-1").outcome == "not_comparable"
    span = f"{(NOW - timedelta(days=3)).isoformat()}/{(NOW - timedelta(days=1)).isoformat()}"
    entry = run(log, "run-2", reference=span)
    assert (entry.outcome, entry.reference, entry.reference_rows) == ("no_drift", span, 700)


def test_a_reference_without_rows_is_no_failure(log: Written) -> None:
    """The log begins later than the weeks before: there is nothing to compare with."""
    log.add(make_frame(700, seed=3))
    entry = run(log, "run-1", reference="weeks:2")
    assert entry.outcome == "not_comparable"
    assert entry.reason == "the log has no predictions of the version in the reference weeks:2"


def test_the_last_accepted_window_is_a_reference(log: Written) -> None:
    """A person accepts a window that drifted; the next one is compared with that."""
    for hours in (2, 0):
        frame = make_frame(700, seed=10 + hours)
        frame["income"] *= 3.0
        log.add(frame, end=NOW - timedelta(hours=hours))
    before = NOW - timedelta(hours=2)
    nothing = run(log, "run-0", reference="accepted")
    assert nothing.outcome == "not_comparable"
    assert "--accept" in nothing.reason
    assert run(log, "run-1", before, accept=True).outcome == "drift"
    entry = run(log, "run-2", reference="accepted")
    assert entry.outcome == "no_drift"
    since = before - timedelta(hours=1)
    assert entry.reference == f"accepted {since.isoformat()}/{before.isoformat()}"


def test_repeated_rows_are_shown_and_tested_once(log: Written) -> None:
    """A client sent each row twice: half is tested, and a warning says so."""
    frame = make_frame(700, seed=3)
    log.add(frame)
    log.add(frame, end=NOW - timedelta(minutes=1))
    settings = Settings(store=log.url, limits=QUICK)
    (item,) = job.work(settings, NOW, "run-1")
    entry = item.entry
    assert (entry.sampled, entry.distinct, entry.tested) == (1_400, 700, 700)
    assert (entry.outcome, len(entry.warnings)) == ("no_drift", 1)
    assert "700 of 1,400 rows repeat another one" in entry.warnings[0]


def test_ignored_features_and_their_own_limits(log: Written) -> None:
    """A feature that is left out, or has moved less than its own limit, is no drift."""
    frame = make_frame(1_000, seed=3)
    frame["age"] += 6.0
    log.add(frame)
    assert "age (ks)" in run(log, "run-1").reason
    ignoring = run(log, "run-2", limits=replace(QUICK, ignore=("age",)))
    assert ignoring.outcome == "no_drift"
    age = next(feature for feature in ignoring.features if feature.name == "age")
    assert (age.is_ignored, age.drifted) == (True, False)
    own = replace(QUICK, feature_limits={"age": {"min_ks": 0.5}}, min_mmd=0.1)
    assert run(log, "run-3", limits=own).outcome == "no_drift"


def test_unimportant_features_do_not_carry_the_verdict(log: Written) -> None:
    """They are tested and named; the version did not drift."""
    frame = make_frame(1_000, seed=3)
    frame["owner"] = True
    log.add(frame)
    entry = run(log, "run-1", limits=replace(QUICK, min_importance=0.1, min_mmd=1.0))
    assert (entry.outcome, entry.reason) == (
        "no_drift",
        "too little importance to count: owner",
    )


def test_nothing_is_written_for_a_reader(log: Written) -> None:
    """`--no-write` leaves the log's file as it was, to the last byte."""
    log.add(make_frame(700, seed=3))
    log.store.close()
    before = Path(log.url[10:]).read_bytes()
    assert run(log, "run-1", no_write=True).outcome == "no_drift"
    assert Path(log.url[10:]).read_bytes() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_file_that_can_only_be_read(log: Written, tmp_path: Path) -> None:
    """Without --no-write the run stops with a clear word before it compares; with it, it works."""
    log.add(make_frame(700, seed=3), end=datetime.now(UTC))
    log.store.close()
    # A folder that any user may look into: those of the tests are their owner's.
    folder = Path("/tmp") / f"tabserve-{os.getpid()}"  # noqa: S108 - of this process, removed below
    folder.mkdir()
    try:
        shutil.copy(log.url[10:], folder / "records.db")
        (folder / "records.db").chmod(0o444)
        # SQLite makes files of its own next to a log that it reads.
        folder.chmod(0o777)
        code = (
            "import sys\nfrom datetime import UTC, datetime\n"
            "from monitoring.drift import job\nfrom monitoring.drift.settings import read\n"
            # What is imported later would be looked for in folders of root's.
            "import bentos.records.sqlite.drift, bentos.records.sqlite.store\n"
            "import os; os.setuid(65534)\n"
            "for item in job.work(read(sys.argv[1:], {}), datetime.now(UTC), 'run'):\n"
            "    print(item.entry.outcome, item.entry.reason)\n"
        )
        said = [
            subprocess.run(
                [sys.executable, "-c", code, "--store", f"sqlite:///{folder}/records.db", *more],
                cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300,
                check=True,
            ).stdout.strip()
            for more in ([], ["--no-write"])
        ]  # fmt: skip
    finally:
        shutil.rmtree(folder)
    assert said[0] == (
        "failed records.db is read-only: --no-write compares without keeping the results"
    )
    assert said[1].startswith("no_drift")
