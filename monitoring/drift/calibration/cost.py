"""What one run costs, measured: a large window in a log of its own, the job as users run it.

`python -m monitoring.drift.calibration.cost` fills a SQLite log in a temporary folder, runs the
job on it in a process of its own, and writes a table with date and circumstances.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import pandas as pd

from bentos.ids import floor_id
from bentos.model import contract as contracts
from bentos.model.contract import Contract, Feature
from bentos.records.opening import open_store
from bentos.records.record import Environment, Record, Registration
from bentos.records.store import Store
from monitoring.drift.calibration.machine import name_machine
from monitoring.drift.calibration.outcomes import measure_training
from monitoring.drift.decision.sample import SCORE_PREFIX

FOLDER = Path(__file__).parents[1] / "results"

NUMBERS, CATEGORIES = 20, 6
_REGIONS = ("north", "east", "south", "west")
# As many as the reference model's.
_REFERENCE_ROWS = 15_000
# Rows of one write, as the service gathers them.
_PART_ROWS = 4_096
_HOURS = 24


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds of wall clock, and its largest resident memory in bytes."""

    what: str
    seconds: float
    bytes: int


def describe() -> Contract:
    """The contract of a binary model with 26 features."""
    numbers = [Feature(f"number_{place}", "float", "double") for place in range(NUMBERS)]
    texts = [
        Feature(f"category_{place}", "category", "string", categories=_REGIONS)
        for place in range(CATEGORIES)
    ]
    return Contract((*numbers, *texts), "binary", "booster", classes=(0, 1), threshold=0.5)


def make_frame(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Rows of one population with their scores: skewed amounts, four categories."""
    numbers = np.exp(random.normal(8.0, 1.0, (rows, NUMBERS))).round(2)
    columns: dict[str, object] = {f"number_{place}": numbers[:, place] for place in range(NUMBERS)}
    for place in range(CATEGORIES):
        columns[f"category_{place}"] = random.choice(_REGIONS, rows, p=[0.4, 0.3, 0.2, 0.1])
    logit = np.log(numbers[:, 0]) - 8.0 + random.normal(0.0, 0.3, rows)
    return pd.DataFrame(columns).assign(**{SCORE_PREFIX: 1.0 / (1.0 + np.exp(-logit))})


def fill(store: Store, rows: int, labelled: float, now: datetime) -> None:
    """Register a model, and write predictions of the day before `now`; a share has outcomes."""
    contract, random = describe(), np.random.default_rng(1)
    buffer = io.BytesIO()
    reference = make_frame(_REFERENCE_ROWS, random)
    reference.to_parquet(buffer, index=False)
    training = measure_training(contract, reference[[SCORE_PREFIX]])
    store.prepare()
    store.register(
        Registration(
            "cost", "v1", contract.hash, msgspec.Raw(contracts.dump(contract)), "digest",
            metrics={f"test_{name}": value for name, value in training.items()},
            importance=dict.fromkeys(contract.names, 1.0),
            reference=buffer.getvalue(),
        ),
        Environment("environment", msgspec.Raw(b"{}")),
    )  # fmt: skip
    for start in range(0, rows, _PART_ROWS):
        part = list(
            _make_records(contract, start, min(rows, start + _PART_ROWS), rows, now, random)
        )
        store.write(part, is_retry=False)
        known = [
            (record.id, str(int(random.random() < (record.score or 0.0))), "request")
            for record in part
            if random.random() < labelled
        ]
        store.write_outcomes(known)


def _make_records(
    contract: Contract, start: int, end: int, rows: int, now: datetime, random: np.random.Generator
) -> Iterator[Record]:
    frame = make_frame(end - start, random)
    scores = frame.pop(SCORE_PREFIX)
    ends = random.bytes(8 * len(frame)).hex()
    begin, span = now - timedelta(hours=_HOURS), timedelta(hours=_HOURS)
    for place, (row, score) in enumerate(zip(frame.to_dict("records"), scores, strict=True)):
        digits = ends[16 * place : 16 * place + 16]
        head = floor_id(begin + span * ((start + place) / rows))[:14]
        yield Record(
            f"{head}7{digits[:3]}-8{digits[3:6]}-{digits[4:]}",
            "request", "cost", "v1", contract.hash, "environment",
            msgspec.Raw(msgspec.json.encode(row)), float(score),
            label=str(int(score >= 0.5)), threshold=0.5,
        )  # fmt: skip


def measure(what: str, *arguments: str) -> Cost:
    """Run this Python with some arguments. Raises CalledProcessError where it fails."""
    started = perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)  # noqa: S603 - our own module
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - started
    # It was waited for here, for its usage: Popen must not look for it again.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    # Linux counts in KiB.
    return Cost(what, seconds, usage.ru_maxrss * 1024)


def main(arguments: list[str] | None = None) -> int:
    """Fill, run, write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.drift.calibration.cost",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="predictions in the window")
    parser.add_argument("--labelled", type=float, default=0.5, help="share with an outcome")
    parser.add_argument("--output", type=Path, help="markdown file to write")
    given = parser.parse_args(arguments)
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/records.db"
        store = open_store(url)
        fill(store, given.rows, given.labelled, now)
        store.close()
        imports = measure(
            "imports alone",
            "-c",
            "import monitoring.drift.job, monitoring.drift.publishing.publish",
        )
        whole = measure(
            "the whole run", "-m", "monitoring.drift", "--store", url, "--window", f"{_HOURS}h",
            "--until", now.isoformat(), "--report", folder, "--json", f"{folder}/out.json",
        )  # fmt: skip
        (entry,) = msgspec.json.decode(Path(folder, "out.json").read_bytes())
    about = (
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores of {name_machine()}. "
        f"{NUMBERS + CATEGORIES} features, "
        f"{entry['rows']:,} predictions in the window of a SQLite log, {given.labelled:.0%} of "
        f"them with an outcome; {entry['sampled']:,} were compared, outcome "
        f"{entry['outcome']}. Report and JSON are written. Command: `python -m "
        f"monitoring.drift.calibration.cost --rows {given.rows} --labelled {given.labelled:g}`."
    )
    lines = [
        "# Drift: what a run costs",
        "",
        about,
        "",
        "| process | seconds | largest memory, MB |",
        "|---|---|---|",
        *(
            f"| {one.what} | {one.seconds:.1f} | {one.bytes / 1e6:,.0f} |"
            for one in (imports, whole)
        ),
        "",
    ]
    path = given.output or FOLDER / f"{now:%Y-%m-%d}-cost.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    sys.stderr.write("\n".join(lines) + f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
