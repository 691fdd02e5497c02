"""Every wrong argument that was tried: one line, an exit code, and never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import bentoml
import pytest
from click.testing import CliRunner

from bentos.cli import main
from bentos.model.layout import MLFLOW_FOLDER

# Arguments, exit code, and what the last line says. ROWS is a CSV, BROKEN a file that is none;
# the other names in capitals say what is wrong with a file.
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
    ("predict test-binary FOLDER", 2, "is a directory"),
    ("predict test-binary EMPTY", 1, "is empty"),
    ("predict test-binary HEADER", 1, "has no rows"),
    ("predict test-binary LATIN", 1, "is not UTF-8"),
    ("predict test-binary TWICE", 1, "occurs more than once"),
    ("predict test-binary LONG", 1, "line 2 has 3 cells, not 2"),
    ("predict test-binary fake.parquet", 1, "cannot be read as Parquet"),
    ("predict test-binary ROWS --output nowhere/scores.csv", 1, "cannot be written"),
    ("predict test-binary:v1:v2 ROWS", 1, "has no version"),
    ("predict ../escape ROWS", 1, "the Bento store has no model"),
    ("evidence models:/a/1 --data FOLDER", 2, "is a directory"),
    ("evidence models:/a/1 --data ROWS --threshold x", 2, "is not a valid float"),
    ("explore --data nowhere.csv", 2, "does not exist"),
    ("explore --data FOLDER", 2, "is a directory"),
    ("explore --data BROKEN", 1, "is not UTF-8"),
    ("explore --data EMPTY", 1, "is empty"),
    ("explore --data HEADER", 1, "has no rows"),
    ("explore --data TWICE", 1, "occurs more than once"),
    ("explore --data SEMICOLON", 1, "is separated by semicolons"),
    ("explore --data ROWS --target x", 1, "has no column 'x'"),
    ("explore --target x", 2, "--target goes with --data"),
    ("explore --data ROWS --output FOLDER", 2, "is a directory"),
    ("explore --data ROWS --output ROWS/page.html", 1, "ROWS"),
    ("train --data FOLDER --target a --name y", 2, "is a directory"),
    ("train --data LATIN --target a --name y", 1, "is not UTF-8"),
    ("train --data TWICE --target a --name y", 1, "occurs more than once"),
    ("train --data SEMICOLON --target a --name y", 1, "is separated by semicolons"),
    ("train --data ROWS --target a --name y", 1, "rows"),
    ("train --data ROWS --target a --name y --drop c", 1, "has no column 'c'"),
    ("train --data ROWS --target a --name y --time c", 1, "has no column 'c'"),
    ("train --data ROWS --target a --name y --task ranking", 2, "is not one of"),
    ("train --task binary", 2, "go with --data"),
    ("train --config FOLDER", 2, "is a directory"),
    ("train --config BROKEN", 1, "cannot be read as YAML"),
    ("train --config ROWS", 1, "there is no setting"),
    ("train data.rows=many", 1, "setting 'data.rows'"),
    ("train split.test=2", 1, "setting 'split.test' is out of range"),
    ("train =", 1, ""),
    ("serve --port 70000", 2, "is not in the range"),
    ("serve --port -1", 2, "is not in the range"),
    ("serve test-binary --workers 0", 2, "is not in the range"),
    ("serve test-binary --host nowhere.invalid", 1, "is no address of this machine"),
    ("serve test-binary --host 192.0.2.1", 1, "is no address of this machine"),
    ("diff ROWS ROWS", 2, "is neither a contract file nor a model"),
    ("diff FOLDER ROWS", 2, "is neither a contract file nor a model"),
    ("diff BROKEN BROKEN", 2, "is neither a contract file nor a model"),
    ("diff test-binary", 2, "Missing argument 'NEW'"),
    ("models x", 2, "unexpected extra argument"),
    ("promote test", 2, "Missing argument 'VERSION'"),
    ("promote nothing-here 1 --store nonsense", 1, "MLflow has no registered model"),
    ("rollback a/b", 1, ""),
    ("import FOLDER", 1, ""),
    ("import FOLDER/model", 1, ""),
    ("import models:/a/x", 1, ""),
    ("import runs:/0123", 1, "a runs: URI is runs:/RUN_ID/PATH"),
    ("import s3://bucket/model", 1, ""),
    ("records --store sqlite:///nowhere.db", 1, "there is no log"),
    ("records --store sqlite:///ROWS", 1, ""),
    ("records --store sqlite:///FOLDER", 1, ""),
    ("records --store parquet:nowhere", 1, ""),
    ("records --id x", 1, "there is no log"),
    ("records --since 1m --until 5m", 2, "ends before it begins"),
    ("records --format parquet", 2, "--format parquet needs --output"),
    ("records --model a:v1 --version v2", 2, "names a version already"),
    ("replay --model nothing-here", 1, ""),
    ("retention --keep soon", 2, "Invalid value for '--keep'"),
    ("rollout start", 2, "Missing"),
    ("rollout nope", 2, "No such command"),
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
    Path("FOLDER").mkdir()
    Path("EMPTY").touch()
    Path("HEADER").write_text("a,b\n")
    Path("LATIN").write_bytes("a,b\ngrün,1\n".encode("latin-1"))
    Path("TWICE").write_text("a,b,a\n1,2,3\n")
    Path("LONG").write_text("a,b\n1,2,3\n")
    Path("SEMICOLON").write_text("a;b\n1;2\n")
    Path("fake.parquet").write_text("a,b\n1,2\n")
    result = CliRunner().invoke(main, line.split())
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == code, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert words in last
    assert "did not expect" not in last


def corrupt_text(path: Path) -> None:
    """Cut a file in half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def corrupt_bytes(path: Path) -> None:
    """Make a file binary."""
    path.write_bytes(b"\x00\xff\xfe\x00" * 8)


def make_link(path: Path) -> None:
    """Put a link to a file in its place."""
    moved = path.with_name(f"{path.name}.moved")
    path.rename(moved)
    path.symlink_to(moved)


def make_folder(path: Path) -> None:
    """Put a folder in a file's place."""
    path.unlink()
    path.mkdir()


SPOILS = (corrupt_text, corrupt_bytes, make_link, make_folder, Path.unlink)
FILES = ("model.yaml", f"{MLFLOW_FOLDER}/MLmodel", f"{MLFLOW_FOLDER}/tabserve/contract.json")


@pytest.fixture
def spoilt(imported: dict[str, str]) -> Iterator[bentoml.Model]:
    """A model of the store, as it was afterwards."""
    model = bentoml.models.get(imported["booster"])
    folder = Path(model.path)
    kept = folder.with_name("kept-for-the-test")
    shutil.copytree(folder, kept, symlinks=True)
    yield model
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_spoilt_model_of_the_store(
    name: str, spoil: Callable[[Path], None], spoilt: bentoml.Model, tmp_path: Path
) -> None:
    """Whatever file of a stored model is broken, each command that needs it says so in a line."""
    spoil(Path(spoilt.path) / name)
    rows = tmp_path / "rows.csv"
    rows.write_text("amount\n1\n")
    for line in (
        f"predict {spoilt.tag} {rows}",
        f"diff {spoilt.tag} test-binary",
        f"replay --model {spoilt.tag}",
        f"serve {spoilt.tag} --port x",
        "models --store-only",
    ):
        result = CliRunner().invoke(main, line.split())
        assert isinstance(result.exception, SystemExit | None), repr(result.exception)
        assert "did not expect" not in result.output, result.output
        # Listing goes on, comparing reads the contract alone, and a description may be a link.
        if line.startswith("predict") and (name, spoil) != ("model.yaml", make_link):
            assert result.exit_code == 1
            assert result.stderr.splitlines()[-1].startswith("Error: ")
