"""Every wrong argument that was tried: one line, an exit code, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bentos.cli import main

# Arguments, exit code, and what the last line says. ROWS is a CSV, BROKEN a file that is none.
CASES = [
    ("import", 2, "Missing argument 'URI'"),
    ("import nope", 1, "neither a models: or runs: URI nor a folder"),
    ("import models:/", 1, "a models: URI is models:/NAME@ALIAS"),
    ("import models:/a/production", 1, "stages are gone"),
    ("import runs:/", 1, "a runs: URI is runs:/RUN_ID/PATH"),
    ("import ROWS", 1, ""),
    ("evidence nope --data ROWS", 1, "neither a models: or runs: URI nor a folder"),
    ("evidence models:/a/1 --data nowhere.csv", 2, "does not exist"),
    ("evidence models:/a/1", 2, "Missing option '--data'"),
    ("evidence models:/a/1 --data ROWS --threshold 2", 2, "is not in the range"),
    ("predict nothing-here ROWS", 1, "the Bento store has no model nothing-here"),
    ("predict test-binary nowhere.csv", 2, "does not exist"),
    ("predict test-binary ROWS", 1, "has no column"),
    ("predict test-binary BROKEN", 1, ""),
    ("predict test-binary:v9 ROWS", 1, "has no version v9"),
    ("diff nothing-here ROWS", 2, "is neither a contract file nor a model"),
    ("promote nothing-here 1", 1, "MLflow has no registered model nothing-here"),
    ("promote nothing-here @champion", 1, "has no version of nothing-here with the alias"),
    ("promote nothing-here 1 --max-flipped 2", 2, "is not in the range"),
    ("promote nothing-here 1 --since yesterday", 2, "Invalid value for '--since'"),
    ("rollback nothing-here", 1, "has no version of nothing-here with the alias champion"),
    ("serve nothing-here", 1, "the Bento store has no model nothing-here"),
    ("serve --port x", 2, "not a valid integer"),
    ("train --data ROWS", 2, "--data and --target go together"),
    ("train --data ROWS --target x", 2, "--data needs --name"),
    ("train --data ROWS --target x --name y", 1, "has no column 'x'"),
    ("train --data BROKEN --target x --name y", 1, ""),
    ("train --require roc_auc", 1, "is no bar"),
    ("train lightgbm.trails=1", 1, "there is no setting"),
    ("train --config nowhere.yaml", 2, "does not exist"),
    ("records --version v1 --store nonsense", 1, ""),
    ("records --since never", 2, "Invalid value for '--since'"),
    ("replay --max-flipped 0.1", 2, "go with --model"),
    ("performance --resamples 1", 2, "is not in the range"),
    ("no-such-command", 2, "No such command"),
    ("serve test-binary --no-such-option", 2, "No such option"),
]


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(("line", "code", "words"), CASES, ids=[case[0] for case in CASES])
def test_wrong_arguments(
    line: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong argument is refused in one line that names the place."""
    monkeypatch.chdir(tmp_path)
    Path("ROWS").write_text("a,b\n1,2\n3,4\n")
    Path("BROKEN").write_bytes(b"\x00\xff\xfe,\n\x00")
    result = CliRunner().invoke(main, line.split())
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == code, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert words in last
    assert "did not expect" not in last
