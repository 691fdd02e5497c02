"""A model that is not what was imported, or does not score as in training, never serves."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import bentoml
import msgspec
import pandas as pd
import pytest

from bentos.model import golden, integrity, store
from bentos.model.intake import importing
from bentos.model.layout import BOOSTER, FOLDER, MLFLOW_FOLDER
from bentos.model.store import Provenance
from tests import models
from tests.service.checks import assert_problem, read_lines, series_of, total_of
from tests.service.driver import App, serving


@pytest.fixture
def copied(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the binary model's MLflow folder, free to be changed."""
    return Path(shutil.copytree(folders["binary"], tmp_path / "model"))


@pytest.fixture
def tag(copied: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A model of its own in the store, free to be changed."""
    yield from _imported(copied, "tampered")


def _imported(folder: Path, name: str) -> Iterator[str]:
    yield importing.import_model(str(folder), name=name).tag
    for model in bentoml.models.list(name):
        bentoml.models.delete(model.tag)


def _files_of(tag: str) -> Path:
    return Path(bentoml.models.get(tag).path) / MLFLOW_FOLDER


def _seal(tag: str) -> str:
    """Record the files of a model as they are now, under the tag that belongs to them.

    A forger who can write the whole store, and has the service serve another tag.
    """
    path = Path(bentoml.models.get(tag).path) / "model.yaml"
    files = integrity.digest_files(_files_of(tag))
    text = path.read_text()
    provenance = msgspec.convert(dict(bentoml.models.get(tag).info.metadata), Provenance)
    for name, digest in provenance.files.items():
        text = text.replace(digest, files[name])
    digest = store.identify(files)
    text = text.replace(provenance.digest, digest)
    path.write_text(re.sub(r"^version: .*$", f"version: {digest[:12]}", text, flags=re.MULTILINE))
    path.parent.rename(path.parent.with_name(digest[:12]))
    return f"{tag.partition(':')[0]}:{digest[:12]}"


def _age(tag: str) -> None:
    """Record that a model was imported with another version of a package."""
    path = Path(bentoml.models.get(tag).path) / "model.yaml"
    text = path.read_text()
    changed = re.sub(r"^(\s+numpy: ).*$", r"\g<1>'0.0'", text, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed)


def _assert_refuses(app: App, reason: str) -> None:
    for method, path in (
        ("GET", "/readyz"),
        ("POST", "/v1/predict"),
        ("POST", "/v1/predict/batch"),
    ):
        answer = app.request(method, path, b"{}")
        assert reason in assert_problem(answer, 503, "not-ready")["detail"]
        assert answer.headers["retry-after"].isdigit()
    assert app.get("/livez").status == 200
    assert total_of(series_of(app.get("/metrics").body), "tabserve_ready") == 0


@pytest.mark.parametrize(
    ("name", "fate"),
    [
        ("tabserve/booster.txt", "changed"),
        ("tabserve/contract.json", "changed"),
        ("tabserve/golden.json", "gone"),
        ("MLmodel", "changed"),
        ("extra_files/reference.parquet", "gone"),
        ("sitecustomize.py", "appeared"),
    ],
)
def test_tampered(tag: str, name: str, fate: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that changed, went or appeared keeps the worker not ready, and is named once."""
    path = _files_of(tag) / name
    if fate == "gone":
        path.unlink()
    else:
        with path.open("ab") as file:
            file.write(b" ")
    with serving(tag) as app:
        _assert_refuses(app, f"{name} ")
        assert_problem(app.get("/v1/model"), 503, "not-ready")
        assert_problem(app.get("/docs.json"), 503, "not-ready")
    lines = read_lines(capsys.readouterr().err)
    reasons = [line for line in lines if line["message"].startswith("not ready")]
    assert len(reasons) == 1
    assert reasons[0]["level"] == "error"
    assert name in reasons[0]["message"]


def test_forged_digests(tag: str) -> None:
    """Changed digests in model.yaml are seen too."""
    path = Path(bentoml.models.get(tag).path) / "model.yaml"
    provenance = msgspec.convert(dict(bentoml.models.get(tag).info.metadata), Provenance)
    path.write_text(path.read_text().replace(provenance.files["MLmodel"], "a" * 64))
    with serving(tag) as app:
        _assert_refuses(app, "model.yaml was changed")


def test_not_imported(tmp_path: Path) -> None:
    """A model that came into the store in another way is refused, with what to do."""
    with bentoml.models.create("stranger") as made:
        Path(made.path_of("x")).write_text("x")
    try:
        with serving(str(made.tag)) as app:
            _assert_refuses(app, "was not imported by `tabserve import`")
    finally:
        bentoml.models.delete(made.tag)


def test_golden_scores_altered(tag: str) -> None:
    """A model whose golden rows have another score than it gives is refused, naming the row."""
    path = _files_of(tag) / FOLDER / golden.FILE
    kept = golden.read(path.read_bytes())
    kept.scores[17][0] += 1e-9
    path.write_bytes(msgspec.json.encode(kept))
    with serving(_seal(tag)) as app:
        _assert_refuses(app, "golden row 17 of 64")


def test_booster_altered(tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed tree is found by the golden rows even if every digest was forged with it."""
    booster = _files_of(tag) / FOLDER / BOOSTER
    text = booster.read_text()
    start = text.index("leaf_value=") + len("leaf_value=")
    end = text.index(" ", start)
    booster.write_text(f"{text[:start]}{float(text[start:end]) + 0.001}{text[end:]}")
    with serving(_seal(tag)) as app:
        _assert_refuses(app, "the serving path gives another score than the model gave")
    reasons = [
        line
        for line in read_lines(capsys.readouterr().err)
        if line["message"].startswith("not ready")
    ]
    assert len(reasons) == 1


def test_mlflow_says_otherwise(
    copied: Path, frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other packages than at import, MLflow's own loader must agree too."""
    other = models.training_frame(seed=99)
    changed = models.log(models.binary(other), other, tmp_path / "other", threshold=0.4)
    for tag in _imported(copied, "mlflow-altered"):
        files = _files_of(tag)
        # The serving path agrees with itself; MLflow's model file is another one.
        for path in changed.iterdir():
            if path.name.startswith("model."):
                shutil.copy(path, files / path.name)
        sealed = _seal(tag)
        _age(sealed)
        with serving(sealed) as app:
            waiting = app.get("/readyz")
            assert "being scored" in assert_problem(waiting, 503, "not-ready")["detail"]
            assert app.get("/v1/model").status == 200
            assert app.post("/v1/predict", {}).status == 503
            while "being scored" in app.get("/readyz").json()["detail"]:
                time.sleep(0.1)
            _assert_refuses(app, "MLflow's own loader gives another score")
    assert "MLflow's own loader" in capsys.readouterr().err


def test_ready_line(quick: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Golden rows drawn at import are scored at start, and MLflow is not asked again."""
    with serving(quick["binary"]) as app:
        assert app.get("/readyz").status == 200
    lines = read_lines(capsys.readouterr().err)
    (ready,) = [line for line in lines if line["message"] == "ready"]
    assert ready["model"] == quick["binary"]
    assert (ready["golden_rows"], ready["compared_with_mlflow"]) == (300, False)
    assert ready["engine"] in ("accelerated", "booster")
