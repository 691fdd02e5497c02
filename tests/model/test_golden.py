"""Golden rows: read, compared, scored by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bentos.errors import IntegrityError
from bentos.model import golden
from bentos.model.golden import Golden
from bentos.model.json_rows import RowReader
from bentos.model.layout import FOLDER
from bentos.model.store import StoredModel
from bentos.model.validation import Encoder


def made(*scores: list[float]) -> Golden:
    """Golden rows with scores; the rows themselves do not matter."""
    return Golden([msgspec.Raw(b"{}")] * len(scores), list(scores))


def test_round_trip() -> None:
    """Golden rows are read as they were written."""
    read = golden.read(msgspec.json.encode(made([0.5], [0.25])))
    assert read.scores == [[0.5], [0.25]]
    assert bytes(read.rows[0]) == b"{}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"rows": [], "scores": []}',
        b'{"rows": [{}], "scores": []}',
        b'{"rows": [{}, {}], "scores": [[1], [1, 2]]}',
        b'{"rows": [{}], "scores": [["x"]]}',
    ],
)
def test_unreadable(data: bytes) -> None:
    """What is no file of golden rows is an IntegrityError that names the file."""
    with pytest.raises(IntegrityError, match=r"golden\.json"):
        golden.read(data)


@pytest.mark.parametrize("scores", [[0.5, 0.25], [0.5 + 1e-13, 0.25]])
def test_equal(scores: list[float]) -> None:
    """Scores that agree to the last bits are equal."""
    golden.check(made([0.5], [0.25]), np.array(scores), "the test")
    golden.check(made([0.5, 0.5], [0.25, 0.75]), np.array([[0.5, 0.5], [0.25, 0.75]]), "the test")


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([0.5, 0.25 + 1e-9, 1.0], r"golden row 1 of 3: the test .*\(1 rows differ\)"),
        ([0.4, 0.3, 1.0], r"golden row 0 of 3: the test .*\(2 rows differ\)"),
        ([0.5, 0.25, float("nan")], "golden row 2 of 3"),
        ([0.5, 0.25], r"shape \(3, 1\), the test gave \(2, 1\)"),
        ([[0.5, 0.5]] * 3, r"shape \(3, 1\), the test gave \(3, 2\)"),
    ],
)
def test_mismatch(scores: list[object], says: str) -> None:
    """Another score names the row and who scored it, and tells no score."""
    with pytest.raises(IntegrityError, match=says) as caught:
        golden.check(made([0.5], [0.25], [1.0]), np.array(scores), "the test")
    assert "0.25" not in str(caught.value)


def test_nan_is_never_equal() -> None:
    """A golden score that is no number equals nothing, not even itself."""
    with pytest.raises(IntegrityError, match="golden row 0"):
        golden.check(made([float("nan")]), np.array([float("nan")]), "the test")


def test_own_process(stored: dict[str, StoredModel]) -> None:
    """MLflow's own loader, in a process of its own, gives the golden scores."""
    folder = stored["multiclass"].folder
    # The module and a folder of the test's own making.
    process = subprocess.run(
        [sys.executable, "-m", "bentos.model.golden", str(folder)],
        capture_output=True,
        check=True,
        cwd=Path(golden.__file__).parent.parent,
    )
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    golden.check(kept, golden.parse_scores(process.stdout), "MLflow")


def test_main(stored: dict[str, StoredModel], capsys: pytest.CaptureFixture[str]) -> None:
    """The same, called in this process."""
    model = stored["regression"]
    golden.main([str(model.folder)])
    kept = golden.read((model.folder / FOLDER / golden.FILE).read_bytes())
    golden.check(kept, golden.parse_scores(capsys.readouterr().out.encode()), "MLflow")
    rows = golden.encode_rows(kept, RowReader(Encoder(model.contract)).read_row)
    assert len(rows) == 64


def test_parse_scores() -> None:
    """A score that is no number comes back as one, so that it can be compared, and differ."""
    assert golden.parse_scores(b"[0.5, 1]\n").tolist() == [0.5, 1.0]
    assert np.isnan(golden.parse_scores(b"[null]")[0])
    assert golden.parse_scores(b"a library talks\n[[0.5, 0.5]]\n").shape == (1, 2)


def test_code_is_not_run(pipeline_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that would run its own code is not loaded for a proof."""
    golden.main([str(pipeline_folder)])
    assert golden.parse_scores(capsys.readouterr().out.encode()).ndim == 0
