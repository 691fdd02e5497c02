"""The OpenAPI document, tried out by schemathesis: every answer is one that it describes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.service.driver import ROOT
from tests.service.process import Server

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)


def test_answers_are_as_described(two_workers: Server, tmp_path: Path) -> None:
    """Requests made from the document, good and bad, get no 5xx and nothing undocumented."""
    done = subprocess.run(
        [
            *(
                Path(sys.executable).with_name("schemathesis"),
                "run",
                f"http://127.0.0.1:{two_workers.port}/docs.json",
            ),
            *("--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--mode", "all"),
            *("--max-examples", "5", "--seed", "1", "--generation-database", "none", "--no-color"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.service.hostile.hooks",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "Tested: 0" not in done.stdout and "Tested:" in done.stdout
