"""`python -m monitoring.drift` as a user runs it: exit codes and what is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.monitoring.conftest import Written, make_frame
from tests.monitoring.servers import Annotations

ROOT = Path(__file__).parents[2]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TABSERVE_")}
    return subprocess.run(
        [sys.executable, "-m", "monitoring.drift", *arguments],
        cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_drift_exits_0_and_3_if_asked(log: Written, tmp_path: Path) -> None:
    """Drift found is a result, not a failure; pipelines ask for an exit code of its own."""
    now = datetime.now(UTC)
    log.add(make_frame(600, seed=3).assign(income=1.0), end=now)
    file = tmp_path / "drift.json"
    quick = {"TABSERVE_DRIFT_JOINT_ROWS": "200", "TABSERVE_DRIFT_PERMUTATIONS": "199"}
    done = command("--store", log.url, "--window", "24h", "--json", str(file), **quick)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("credit v1: drift, 600 rows, 600 compared: income (ks")
    assert json.loads(file.read_bytes())[0]["outcome"] == "drift"
    assert done.stderr == ""
    asked = command("--fail-on-drift", TABSERVE_STORE_URL=log.url, **quick)
    assert asked.returncode == 3, asked.stderr


def test_a_log_that_is_not_there_exits_1(tmp_path: Path) -> None:
    """A run that could not tell is no success, and it leaves no empty log behind."""
    done = command("--store", f"sqlite:///{tmp_path}/none.db")
    assert done.returncode == 1
    assert "failed" in done.stdout
    assert "there is no log at none.db" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_setting_exits_2_with_one_line() -> None:
    """Before anything slow is imported."""
    done = command("--window", "soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "--window: must be a whole number and one of m, h, d, w, for example 24h, up to 2600w"
    ]


def test_a_wrong_store_url_exits_2_with_one_line() -> None:
    """As other wrong settings do; it may hold a password."""
    done = command("--store", "mysql://user:hunter2@host")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_a_run_that_cannot_import_says_so() -> None:
    """Whoever watches the Pushgateway hears of it: the state of the run is `failed`."""
    server = Annotations()
    try:
        done = subprocess.run(
            [
                sys.executable, "-c",
                "import sys; sys.modules['alibi_detect'] = None\n"
                "from monitoring.drift.__main__ import main\n"
                f"raise SystemExit(main(['--pushgateway', '{server.url}'], {{}}))",
            ],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        server.close()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("ERROR tabserve.drift: the run broke: No module named 'alibi_detect")
    ((path, _, body),) = server.received
    assert path == "/metrics/job/tabserve_drift"
    assert b'tabserve_drift_run_outcome{outcome="failed"} 1.0' in body
    assert b"last_success" not in body
