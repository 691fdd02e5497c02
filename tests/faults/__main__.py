"""Does every fault and writes the table: `python -m tests.faults --output docs/faults.md`."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

_HOME = tempfile.TemporaryDirectory(prefix="tf-home-")
os.environ["BENTOML_HOME"] = _HOME.name
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{_HOME.name}/mlflow.db"

from bentos.model import bundle  # noqa: E402 - after the environment is set
from bentos.model.intake import importing  # noqa: E402 - the same
from tests import models  # noqa: E402 - the same
from tests.faults.catalogue import FAULTS  # noqa: E402 - the same
from tests.faults.rig import FAKETIME, Kind  # noqa: E402 - the same
from tests.faults.trial import Outcome, run  # noqa: E402 - the same
from tests.records.postgresql import Server as PostgreSQL  # noqa: E402 - the same
from tests.service.checks import rows_of  # noqa: E402 - the same

KINDS: tuple[Kind, ...] = ("postgresql", "sqlite")

HEAD = """# Faults

What the service does while something around it fails. Each fault was done to `bentoml serve` with
two workers, on a service of its own. Requests for one row left at an even pace, 80 a second and 200
where the disk is full, whether earlier ones were answered or not; a client gave up after 15 s. Each
fault is proved to hold by what it does: a line of the log, a metric, the state of a process.
`make test-faults` does them all and writes this page; `make test` does three of them.

"During" counts the requests sent while the fault held, the time of a stop and a start not included.
"Well after" is from the end of the fault, or of the service that stopped, until both workers serve
and nothing waits for the log. With SQLite only those are done in which the log's file or the
spool matters; the others meet the same supervisor, signals and descriptors.
{left_out}
"""

NOT_DONE = (
    "a disk that turns read-only under files that are open",
    "memory that runs out: a worker that the kernel kills for it is the first row",
    "a frozen supervisor",
    "faults of several replicas at once",
)
# A service on a file of its own meets the same supervisor, signals and descriptors.
SHORTER = (
    "kill -9 of one of two workers",
    "one of two workers frozen (SIGSTOP)",
    "kill -9 of what delivers a worker's log",
    "what delivers a worker's log frozen (SIGSTOP)",
    "disk full until rows are lost (1,024 rows held in memory)",
    "data directory read-only for what is opened anew",
    "SIGTERM",
    "a second service on the same data directory",
    "kill -9 of everything, then a start",
)


def main() -> int:
    """Do all faults, or those whose name has a pattern; 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", default="", help="faults whose name has this pattern")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of the log; both without")
    arguments = parser.parse_args()
    frame = models.training_frame()
    folder = models.log(models.binary(frame), frame, Path(_HOME.name) / "model", threshold=0.4)
    (folder / bundle.FOLDER / bundle.GOLDEN).unlink()
    tag = importing.import_model(str(folder), name="faults").tag
    row = rows_of(frame.head(1))[0]
    not_done = list(NOT_DONE)
    if not FAKETIME:
        not_done.append(
            "a step of the clock, which needs libfaketime (apt-get install libfaketime)"
        )
    can_mount = os.geteuid() == 0
    if not can_mount:
        not_done.append("faults of the disk, which only root can mount")
    left_out = f"\nNot done: {'; '.join(not_done)}."
    parts = [HEAD.format(left_out=left_out), _describe_machine()]
    kept = True
    with closing(PostgreSQL()) as database:
        for kind in arguments.kind or KINDS:
            outcomes = []
            for fault in FAULTS:
                if fault.needs_disk and not can_mount:
                    continue
                if kind not in fault.kinds or not re.search(arguments.only, fault.name):
                    continue
                if kind == "postgresql" or fault.name in SHORTER or arguments.only:
                    sys.stderr.write(f"{kind}: {fault.name}\n")
                    outcomes.append(run(fault, kind, tag, row, database))
                    sys.stderr.write(f"  {outcomes[-1][1:]}\n")
            kept = kept and not any(outcome.broken for outcome in outcomes)
            parts += ["", f"## With {'PostgreSQL' if kind == 'postgresql' else 'SQLite'}", ""]
            parts += _table(kind, outcomes)
    arguments.output.write_text("\n".join(parts) + "\n")
    return 0 if kept else 1


def _describe_machine() -> str:
    date = datetime.now(UTC).date()
    return (
        f"Measured on {date}, {os.cpu_count()} CPUs, {platform.system()} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}."
    )


def _table(kind: Kind, outcomes: list[Outcome]) -> Iterator[str]:
    yield "| fault | promise | kept | answers during | answers after | rows | well after | said |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in outcomes:
        cells = (
            *(one.fault.title(kind), one.fault.promise, "; ".join(one.broken) or "yes"),
            *(one.during, one.after, one.rows, f"{one.recovery_seconds:.0f} s"),
            "<br>".join(one.said) or "nothing",
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
