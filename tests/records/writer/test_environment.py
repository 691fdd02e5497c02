"""What computes a score is named, and digested into an id."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata

from bentos.records.writer.environment import describe


def test_it_names_what_could_change_a_score() -> None:
    """The document has the engine, the machine, Python, and the packages on the way."""
    document = json.loads(bytes(describe("accelerated").document))
    assert document["engine"] == "accelerated"
    assert document["machine"] == platform.machine()
    assert document["python"] == platform.python_version()
    for name in ("tabserve", "lightgbm", "numpy", "msgspec"):
        assert document["packages"][name] == metadata.version(name)


def test_the_same_environment_has_the_same_id_in_another_process() -> None:
    """Two workers that compute alike give the same id; another engine has another one."""
    code = (
        "from bentos.records.writer.environment import describe; print(describe('accelerated').id)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert describe("accelerated").id == other.strip()
    assert describe("lightgbm").id != describe("accelerated").id
    assert len(describe("lightgbm").id) == 12
