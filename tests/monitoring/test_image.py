"""The drift job's image gets every module that the job imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from k8s.images import sources


def test_the_allow_list_is_enough(tmp_path: Path) -> None:
    """From what the image copies, and nothing else of the project, all of the job is imported."""
    sources.lay_out(sources.SOURCES["drift"], tmp_path)
    script = (
        "import monitoring.drift.__main__\n"
        "from monitoring.drift import job\n"
        "from monitoring.drift.publishing import publish, push\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
