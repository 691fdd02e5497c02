"""Coverage-guided fuzzing of every decoder, for a bounded time; inputs found are kept and tried."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd

from tests.hostile.targets import find
from tests.service.checks import rows_of
from tests.service.driver import ROOT

FOUND = Path(__file__).parent / "found"
SECONDS = 6


def test_fuzz(imported: dict[str, str], frame: pd.DataFrame, tmp_path: Path) -> None:
    """No input makes a decoder of any protocol fail in a way that it does not answer."""
    row = tmp_path / "row.json"
    row.write_text(json.dumps({"row": rows_of(frame.head(1))[0]}))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.hostile.fuzz", imported["binary"], "--row", str(row)),
            *("--seconds", str(SECONDS), "--found", str(tmp_path)),
        ],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    runs = int(done.stderr.rpartition("Done ")[2].split()[0])
    # Far below what a busy machine does: a fuzzer that tries nothing proves nothing.
    assert runs > 100


def test_what_was_found(imported: dict[str, str], tmp_path: Path) -> None:
    """Inputs that once broke a decoder are answered by every route."""
    paths = sorted(FOUND.glob("*"))
    assert paths
    with closing(asyncio.new_event_loop()) as loop:
        for target in find(imported["binary"], tmp_path, loop):
            for path in paths:
                # The first byte of what the fuzzer leaves picks its target.
                target.read(path.read_bytes())
                target.read(path.read_bytes()[1:])
