"""Python processes that a worker starts: how each finds this project."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The worker's metrics are not another process's to write.
_WORKERS_OWN = "PROMETHEUS_MULTIPROC_DIR"


def child_environment() -> dict[str, str]:
    """Variables for a Python process that imports what this one can."""
    environment = {name: value for name, value in os.environ.items() if name != _WORKERS_OWN}
    folders = (str(Path(__file__).parents[1]), *(path for path in sys.path if path))
    return {**environment, "PYTHONPATH": os.pathsep.join(folders)}
