"""Does every fault and writes the table: `python -m tests.faults --output docs/faults.md`."""

from __future__ import annotations

import argparse
import os
import platform
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
from tests.faults.rig import Kind  # noqa: E402 - the same
from tests.faults.trial import Outcome, run  # noqa: E402 - the same
from tests.records.postgresql import Server as PostgreSQL  # noqa: E402 - the same
from tests.service.checks import rows_of  # noqa: E402 - the same

KINDS: tuple[Kind, ...] = ("postgresql", "sqlite")

HEAD = """# Faults

What the service does while something around it fails. Each fault was done to `bentoml serve` with
two workers under a steady load of 80 rows a second, on a service of its own. `make test-faults`
does them all and writes this page; `make test` does two of them.

Not done yet: revoked rights, a read-only data directory, a step of the clock, exhausted descriptors
and memory under this load, and two services on one data directory. Stops by signal, killed
supervisors, few descriptors and large bodies have tests of their own.
"""


def main() -> int:
    """Do all faults, or those whose name has a text; 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", default="", help="faults whose name has this text")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of the log; both without")
    arguments = parser.parse_args()
    frame = models.training_frame()
    folder = models.log(models.binary(frame), frame, Path(_HOME.name) / "model", threshold=0.4)
    (folder / bundle.FOLDER / bundle.GOLDEN).unlink()
    tag = importing.import_model(str(folder), name="faults").tag
    row = rows_of(frame.head(1))[0]
    parts = [HEAD, _describe_machine()]
    kept = True
    with closing(PostgreSQL()) as database:
        for kind in arguments.kind or KINDS:
            outcomes = []
            for fault in FAULTS:
                if kind in fault.kinds and arguments.only in fault.name:
                    sys.stderr.write(f"{kind}: {fault.name}\n")
                    outcomes.append(run(fault, kind, tag, row, database))
                    sys.stderr.write(f"  {outcomes[-1][1:]}\n")
            kept = kept and not any(outcome.broken for outcome in outcomes)
            parts += ["", f"## With {'PostgreSQL' if kind == 'postgresql' else 'SQLite'}", ""]
            parts += _table(outcomes)
    arguments.output.write_text("\n".join(parts) + "\n")
    return 0 if kept else 1


def _describe_machine() -> str:
    date = datetime.now(UTC).date()
    return (
        f"Measured on {date}, {os.cpu_count()} CPUs, {platform.system()} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}."
    )


def _table(outcomes: list[Outcome]) -> Iterator[str]:
    yield "| fault | promise | kept | answers during | answers after | rows | well after | said |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in outcomes:
        cells = (
            *(one.fault.name, one.fault.promise, "; ".join(one.broken) or "yes"),
            *(one.during, one.after, one.rows, f"{one.recovery_seconds:.0f} s"),
            "<br>".join(one.said) or "nothing",
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
