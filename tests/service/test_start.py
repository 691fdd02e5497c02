"""A wrong configuration stops the start with one clear line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.service.driver import ROOT
from tests.service.process import PATIENCE_SECONDS, free_port


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            {"TABSERVE_MAX_ROW": "5"},
            "tabserve: TABSERVE_MAX_ROW is not a setting, did you mean TABSERVE_MAX_ROWS?",
        ),
        (
            {"TABSERVE_MAX_ROWS": "many", "TABSERVE_WORKERS": "0"},
            "tabserve: TABSERVE_WORKERS: Input should be greater than or equal to 1; "
            "TABSERVE_MAX_ROWS: Input should be a valid integer, unable to parse string as an "
            "integer",
        ),
        (
            {"TABSERVE_MODEL": "nobody:knows"},
            "tabserve: the Bento store has no model nobody:knows: bring it in with "
            "`tabserve import models:/NAME@ALIAS`, or name another with TABSERVE_MODEL",
        ),
    ],
    ids=["unknown", "malformed", "model"],
)
def test_configuration(setting: dict[str, str], line: str) -> None:
    """An unknown setting, a malformed one, or an unknown model: one line, no trace, exit 1."""
    arguments = ["serve", ".", "--host", "127.0.0.1", "--port", str(free_port())]
    ended = subprocess.run(
        [sys.executable, "-m", "bentoml", *arguments],
        cwd=ROOT,
        env={**os.environ, **setting},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    (said,) = (ended.stdout + ended.stderr).splitlines()
    # Of an unknown model the line goes on with those that the store has.
    assert said.partition("; it has ")[0] == line
