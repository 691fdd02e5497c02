"""The command that measures what a run costs, on a small scale."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitoring.drift.calibration import cost


def test_it_measures_a_real_run(tmp_path: Path) -> None:
    """The job runs on a log of its own; the table has seconds and memory, of imports and all."""
    output = tmp_path / "new" / "cost.md"
    assert cost.main(["--rows", "3000", "--labelled", "0.5", "--output", str(output)]) == 0
    text = output.read_text()
    assert "26 features, 3,000 predictions" in text
    assert "3,000 were compared, outcome no_drift." in text
    rows = re.findall(r"\| (.+) \| ([\d.]+) \| ([\d,]+) \|", text)
    assert [row[0] for row in rows] == ["imports alone", "the whole run"]
    imports, whole = (int(row[2].replace(",", "")) for row in rows)
    assert 100 < imports < whole


def test_a_run_that_fails_is_no_measurement() -> None:
    """What broke has no cost worth writing down."""
    with pytest.raises(subprocess.CalledProcessError):
        cost.measure("broken", "-c", "raise SystemExit(1)")
