"""`tabserve replay`: the same model gives the same bits, another one says how it differs."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import bentoml
import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from bentos.model.intake import importing
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.loading import LoadedModel
from bentos.records.record import Environment, Record
from bentos.records.writer import environment
from bentos.serving.registration import register
from tests import models
from tests.audit import logged
from tests.audit.logged import NOW, answer, fail, run, store_of, succeed, write

Rows = list[dict[str, object]]


@pytest.fixture(scope="session")
def challenger(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Another binary model of the same contract, trained on half of the rows."""
    model = models.binary(frame.head(300))
    folder = tmp_path_factory.mktemp("challenger")
    path = models.log(model, frame, folder, threshold=0.6)
    return logged.open_served(importing.import_model(str(path), name="test-challenger").tag)


def verdict(*arguments: str) -> Any:
    """The verdict on one version; the command must fail."""
    (found,) = json.loads(fail("replay", "--json", *arguments))
    return found


# ---- the same model


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "booster"])
def test_bit_equal(kind: str, log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Every score and label comes out as recorded, to the last bit."""
    write(log, served[kind], answer(served[kind], rows))
    name = f"{served[kind].stored.name}:{served[kind].stored.version}"
    output = succeed("replay")
    assert output.startswith(f"{name}: 600 rows\n  600 equal to the last bit, 0 different")


def test_bit_equal_with_mlflow(log: Path, pipeline: LoadedModel, rows: Rows) -> None:
    """So does a model that MLflow runs."""
    few = [{name: row[name] for name in pipeline.contract.names} for row in rows[:50]]
    write(log, pipeline, answer(pipeline, few))
    assert "50 equal to the last bit, 0 different (pyfunc)" in succeed("replay")


def test_several_models(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Each row goes to the model that answered it; --recorded takes one."""
    for number, kind in enumerate(("binary", "regression")):
        start = NOW - timedelta(minutes=20 + number)
        write(log, served[kind], answer(served[kind], rows[:10], start=start))
    assert len(json.loads(succeed("replay", "--json"))) == 2
    (one,) = json.loads(succeed("replay", "--json", "--recorded", served["binary"].stored.name))
    assert one["rows"] == one["equal"] == 10


def test_tolerated_category(
    log: Path, imported: dict[str, str], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A category that was scored as missing was recorded as missing, and replays the same."""
    monkeypatch.setenv("TABSERVE_UNKNOWN_CATEGORY", "missing")
    tolerant = logged.open_served(imported["binary"])
    write(log, tolerant, answer(tolerant, [rows[0] | {"colour": "mauve"}]))
    monkeypatch.delenv("TABSERVE_UNKNOWN_CATEGORY")
    assert "1 equal to the last bit" in succeed("replay")


def test_difference_is_shown(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """One bit is a difference: exit 1, and the row's id with both scores."""
    records = answer(served["binary"], rows[:20])
    score = records[7].score
    assert score is not None
    other = msgspec.structs.replace(records[7], score=float(np.nextafter(score, 1.0)))
    write(log, served["binary"], [*records[:7], other, *records[8:]])
    found = verdict()
    assert (found["equal"], found["different"]) == (19, 1)
    assert found["differences"][0]["id"] == other.id
    result = run("replay")
    assert result.exit_code == 1
    assert f"{other.id}: ({other.score!r}, None," in result.stdout


def test_label_counts(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """The same score with another label is a difference, too."""
    (record,) = answer(served["binary"], rows[:1])
    label = "0" if record.label == "1" else "1"
    write(log, served["binary"], [msgspec.structs.replace(record, label=label)])
    assert verdict()["different"] == 1


def test_model_is_gone(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Rows of a model that is not here are not replayed, and that is no success."""
    (record,) = answer(served["binary"], rows[:1])
    write(log, served["binary"], [msgspec.structs.replace(record, version="v0")])
    assert verdict()["absent"].startswith("the local Bento store has no model")
    assert "not replayed: the local Bento store has no model" in run("replay").stdout


def test_model_changed(
    log: Path, served: dict[str, LoadedModel], challenger: LoadedModel, rows: Rows
) -> None:
    """Another model under the recorded name: files and scores differ, and it says so."""
    records = [
        msgspec.structs.replace(
            record, model=challenger.stored.name, version=challenger.stored.version
        )
        for record in answer(served["binary"], rows[:50])
    ]
    registration = msgspec.structs.replace(
        register(served["binary"].stored),
        model=challenger.stored.name,
        version=challenger.stored.version,
    )
    log_store = store_of(log)
    log_store.register(registration, environment.describe(served["binary"].engine.name))
    log_store.write(records, is_retry=False)
    log_store.close()
    found = verdict()
    assert found["different"] == 50
    assert len(found["differences"]) == 5
    (change,) = found["changes"]
    assert change.startswith("model files: digest ")


def test_file_changed(
    log: Path, folders: dict[str, Path], frame: pd.DataFrame, rows: Rows, tmp_path: Path
) -> None:
    """A stored model with a changed file is not used, and the file is named."""
    tag = importing.import_model(str(folders["binary"]), name="test-tampered").tag
    tampered = logged.open_served(tag)
    write(log, tampered, answer(tampered, rows[:3]))
    booster = tampered.stored.folder / FOLDER / BOOSTER
    booster.write_text(booster.read_text() + "\n")
    assert "booster.txt" in verdict()["absent"]
    bentoml.models.delete(tag)


def test_contract_and_environment_changed(
    log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Another contract's hash and another environment are named, part by part."""
    (record,) = answer(served["binary"], rows[:1])
    current = environment.describe(served["binary"].engine.name)
    document = msgspec.json.decode(current.document)
    document["packages"]["numpy"] = "1.0"
    document["engine"] = "other"
    then = Environment("then", msgspec.Raw(msgspec.json.encode(document)))
    log_store = store_of(log)
    log_store.register(register(served["binary"].stored), then)
    changed = msgspec.structs.replace(record, environment="then", contract="f" * 64, score=0.5)
    log_store.write([changed], is_retry=False)
    log_store.close()
    contract, engine, numpy = verdict()["changes"]
    assert contract.startswith("contract: ffffffffffff then, ")
    assert engine == f"environment: engine other then, {served['binary'].engine.name} now"
    assert numpy == f"environment: numpy 1.0 then, {np.__version__} now"


def test_other_environment_alone(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Scores that come out the same elsewhere are a success; what is new is named."""
    records = [
        msgspec.structs.replace(record, environment="elsewhere")
        for record in answer(served["binary"], rows[:5])
    ]
    write(log, served["binary"], records)
    output = succeed("replay")
    assert "5 equal to the last bit" in output
    assert "changed: environment: elsewhere was never registered" in output


def test_features_that_were_not_stored(
    log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Rows that lack a feature prove nothing: they are counted, and it is no success."""
    listed = answer(served["binary"], rows[:4], listed=["amount", "count"])
    write(log, served["binary"], listed)
    found = verdict()
    assert (found["rows"], found["not_stored"], found["equal"]) == (4, 4, 0)
    assert "4 not replayed: not all their features were stored" in run("replay").stdout


def test_refused_now(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Values that the contract refuses now are counted."""
    (record,) = answer(served["binary"], rows[:1])
    features = msgspec.Raw(msgspec.json.encode(record.values | {"count": None}))
    write(log, served["binary"], [msgspec.structs.replace(record, features=features)])
    assert verdict()["refused"] == 1
    assert "1 not replayed: the contract refuses them now" in run("replay").stdout


def test_nothing_there(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """An empty window is said, and proves nothing: exit 1, with another model, too."""
    write(log, served["binary"], answer(served["binary"], rows[:1]))
    assert fail("replay", "--since", "1s") == "the log has no prediction in this window\n"
    assert fail("replay", "--recorded", "nobody") == "the log has no prediction in this window\n"
    tag = tag_of(served["binary"])
    assert "no prediction in this window" in fail("replay", "--since", "1s", "--model", tag)


# ---- another model


@pytest.fixture
def recorded(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """600 answers of the binary model, in the log."""
    records = answer(served["binary"], rows)
    write(log, served["binary"], records)
    return records


def tag_of(model: LoadedModel) -> str:
    """The model's Bento tag."""
    return f"{model.stored.name}:{model.stored.version}"


def test_shift(recorded: list[Record], challenger: LoadedModel, rows: Rows) -> None:
    """Shift, KS and flips are those of the two models' scores."""
    now = answer(challenger, rows)
    old, new = (np.array([one.score for one in part]) for part in (recorded, now))
    found = json.loads(succeed("replay", "--json", "--model", tag_of(challenger)))
    assert (found["rows"], found["scored"]) == (600, 600)
    shift = found["outputs"]["score"]
    assert shift["ks"] == pytest.approx(ks_2samp(old, new).statistic, abs=1e-12)
    assert shift["mean_change"] == pytest.approx((new - old).mean(), abs=1e-12)
    assert shift["largest_change"] == np.abs(new - old).max()
    flips = Counter(
        f"{before.label} -> {after.label}"
        for before, after in zip(recorded, now, strict=True)
        if before.label != after.label
    )
    assert found["flips"] == dict(flips)
    assert shift["flipped"] == pytest.approx(flips.total() / 600)
    # The gate of a promotion, at the very share and just below it.
    gate = ("replay", "--model", tag_of(challenger), "--max-flipped")
    assert 0 < flips.total() < 600
    succeed(*gate, repr(flips.total() / 600))
    fail(*gate, repr((flips.total() - 1) / 600))


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        ("colour", {"blue", "green", "red"}),
        ("is_member", {"True", "False"}),
        ("grade", {"3", "5", "7"}),
    ],
)
def test_segments(
    recorded: list[Record], challenger: LoadedModel, feature: str, names: set[str]
) -> None:
    """Segments of a category or boolean are its values, and every row is in one."""
    found = json.loads(
        succeed("replay", "--json", "--model", tag_of(challenger), "--segment", feature)
    )
    assert found["segment_by"] == feature
    assert set(found["segments"]) == names
    assert sum(segment["rows"] for segment in found["segments"].values()) == 600


def test_quartiles(recorded: list[Record], challenger: LoadedModel) -> None:
    """Segments of a number are its quartiles, and the rows without one."""
    arguments = ("replay", "--model", tag_of(challenger), "--segment", "amount")
    found = json.loads(succeed(*arguments, "--json"))
    rows = [segment["rows"] for segment in found["segments"].values()]
    missing = found["segments"]["(missing)"]["rows"]
    assert missing == sum(record.values["amount"] is None for record in recorded)
    assert (sum(rows), len(rows)) == (600, 5)
    assert max(rows[:4]) - min(rows[:4]) <= 1
    text = succeed(*arguments)
    assert "by amount, score:" in text
    assert "(missing)" in text


def test_the_same_model_by_name(recorded: list[Record], served: dict[str, LoadedModel]) -> None:
    """A model compared with itself has no shift at all."""
    found = json.loads(succeed("replay", "--json", "--model", tag_of(served["binary"])))
    shift = found["outputs"]["score"]
    assert (shift["ks"], shift["largest_change"], shift["flipped"]) == (0.0, 0.0, 0.0)


def test_multiclass_shift(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Several classes have a shift each."""
    multiclass = served["multiclass"]
    write(log, multiclass, answer(multiclass, rows[:50]))
    found = json.loads(succeed("replay", "--json", "--model", tag_of(multiclass)))
    assert set(found["outputs"]) == {"high", "low", "middle"}


def test_regression_shift(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """A regression has no decisions to flip."""
    regression = served["regression"]
    write(log, regression, answer(regression, rows[:50]))
    found = json.loads(succeed("replay", "--json", "--model", tag_of(regression)))
    assert found["outputs"]["score"]["flipped"] is None
    assert "flipped" in succeed("replay", "--model", tag_of(regression))


def test_refused_rows(
    recorded: list[Record], log: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Rows that the new contract refuses are counted by every reason."""
    narrow = frame.drop(columns=["weight"])
    target = (models.signal(frame) > 5).astype(int)
    import lightgbm

    model = lightgbm.LGBMClassifier(**models._parameters()).fit(narrow, target)
    path = models.log(model, narrow, tmp_path / "narrow", threshold=0.5)
    tag = importing.import_model(str(path), name="test-narrow").tag
    found = json.loads(fail("replay", "--json", "--model", tag))
    assert (found["scored"], found["refused_rows"]) == (0, 600)
    assert found["refused"] == {"unknown_feature": 600}
    text = fail("replay", "--model", tag)
    assert "600 unknown_feature" in text


def test_incomparable(
    recorded: list[Record], log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Scores of another kind, or of nobody knows what, are not compared."""
    (unknown,) = answer(served["binary"], rows[:1], start=NOW - timedelta(minutes=5))
    log_store = store_of(log)
    log_store.write([msgspec.structs.replace(unknown, version="v0")], is_retry=False)
    log_store.close()
    text = fail("replay", "--model", tag_of(served["regression"]))
    assert "600 not compared: test-binary:" in text
    assert "1 not compared: test-binary:v0 was never registered" in text
    assert "  0 scored" in text


def test_rows_without_values(
    recorded: list[Record], log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Rows that lack a feature in the log are refused, and the feature is named."""
    listed = answer(served["binary"], rows[:3], start=NOW - timedelta(minutes=5), listed=["amount"])
    write(log, served["binary"], listed)
    found = json.loads(succeed("replay", "--json", "--model", tag_of(served["binary"])))
    assert (found["scored"], found["refused_rows"]) == (600, 3)
    assert found["refused"]["missing /count"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--segment", "amount"), 2),
        (("--max-flipped", "0.1"), 2),
        (("--model", "nobody:v1"), 1),
        (("--model", "not a tag"), 1),
        (("--model", "test-binary:latest", "--segment", "shoe_size"), 1),
    ],
)
def test_wrong_use(recorded: list[Record], arguments: tuple[str, ...], code: int) -> None:
    """What cannot be done is one line, and never a success."""
    result = run("replay", *arguments)
    assert result.exit_code == code
    assert result.stdout == ""
