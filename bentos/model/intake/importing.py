"""MLflow URI -> Bento store: checked, made servable without MLflow, with provenance."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import bentoml
import msgspec
from mlflow.models import Model as MlflowModel

from bentos.errors import IntakeError
from bentos.model import bundle, contract, golden, integrity
from bentos.model.contract import Contract
from bentos.model.engines import model_code
from bentos.model.intake import reasons
from bentos.model.intake.inspection import inspect
from bentos.model.intake.origin import Origin, download, find_origin
from bentos.model.intake.uris import parse
from bentos.model.json_rows import RowReader
from bentos.model.layout import BOOSTER, CONTRACT, FOLDER
from bentos.model.proof import why_not
from bentos.model.store import FORMAT, identify, tag_suffix
from bentos.model.validation import Encoder

# What a model was trained and is run with: shown by /v1/model.
_RECORDED_PACKAGES = ("lightgbm", "mlflow", "numpy", "pandas", "scikit-learn")
# Recorded where a model of theirs was loaded: the module, and the packages that may bring it.
_LOADED_PACKAGES = {"xgboost": ("xgboost", "xgboost-cpu"), "catboost": ("catboost",)}
# BentoML's limit.
_LONGEST_NAME = 63
_NOT_IN_TAGS = re.compile(r"[^a-z0-9_.-]+")


class Imported(msgspec.Struct, frozen=True):
    """What an import did. `warnings` name what will not work, and why."""

    tag: str
    contract: Contract
    digest: str
    is_new: bool
    warnings: tuple[str, ...]


def import_model(
    uri: str, name: str | None = None, *, trusts_code: bool = False, requires_reasons: bool = False
) -> Imported:
    """Bring a model into the Bento store.

    `uri`: `models:/name@alias`, `models:/name/7`, `models:/name/latest`, `models:/m-id`,
    `runs:/id/model`, a local folder or another artifact URI. `name`: of the Bento model; by
    default the registered name or the folder's. `trusts_code`: whether code that came with the
    model may run, here and, for a model that only MLflow can run, where it is served.
    `requires_reasons`: refuse a model that cannot give a reason for each of its features.
    Raises IntakeError, saying what to do, where the model cannot be served. The tag is
    made of the registry version and the files' digest: importing twice changes nothing.
    """
    origin = find_origin(parse(uri))
    chosen = bento_name(name or origin.name)
    if len(chosen) > _LONGEST_NAME:
        raise IntakeError(
            f"the model's name has {len(chosen)} characters, and a Bento model at most "
            f"{_LONGEST_NAME}: give it another with --name"
        )
    with tempfile.TemporaryDirectory(prefix="tabserve-import-") as scratch:
        model_dir = download(origin, Path(scratch))
        code = model_code.find(model_dir)
        if code and not trusts_code:
            raise IntakeError(_explain_code(code, origin))
        warnings = (*_announce(code), *prepare(model_dir, requires_reasons=requires_reasons))
        made = contract.load((model_dir / FOLDER / CONTRACT).read_bytes())
        files = integrity.digest_files(model_dir)
        digest = identify(files)
        prefix = f"v{origin.registry_version}-" if origin.registry_version else ""
        tag = f"{chosen}:{prefix}{tag_suffix(digest)}"
        is_new = _make_latest(tag, files)
        if is_new:
            bentoml.mlflow.import_model(
                tag,
                str(model_dir),
                labels=_labels(origin, made),
                metadata={**_metadata(origin, made, model_dir, files, digest), "code": code},
            )
    return Imported(tag, made, digest, is_new, warnings)


def _explain_code(code: list[str], origin: Origin) -> str:
    author = f" by {origin.author}" if origin.author else ""
    logged = f" It was logged{author} in run {origin.run_id}." if origin.run_id else ""
    return (
        f"loading this model runs code that came with it: {'; '.join(code)}.{logged} Import it "
        "with --trust-code if you trust who made it, or log it without: a Booster, or "
        "serialization_format='skops'"
    )


def _announce(code: list[str]) -> Iterator[str]:
    if code:
        yield f"this import ran code that came with the model: {'; '.join(code)}"


def bento_name(name: str) -> str:
    """Make a valid Bento model name of any other; letters lose their marks."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    kept = plain if plain.strip() else name.lower()
    return _NOT_IN_TAGS.sub("-", kept).strip("-._") or "model"


def prepare(model_dir: Path, *, requires_reasons: bool = False) -> Iterator[str]:
    """Add what serving needs to a model's folder; yield a warning for each thing it lacks.

    Writes the contract, the booster as text and the golden rows as JSON, so that a
    server reads neither pickles nor Parquet and needs no MLflow.
    """
    served = model_dir / FOLDER
    served.mkdir(exist_ok=True)
    inspected = inspect(model_dir)
    made, booster = inspected.contract, inspected.booster
    yield from inspected.warnings
    (served / CONTRACT).write_bytes(contract.dump(made))
    if booster is not None:
        (served / BOOSTER).write_text(booster)
    if inspected.boosted is not None:
        inspected.boosted.write(model_dir)
    proof = inspected.proof
    reader = RowReader(Encoder(made))
    some = [reader.read_row(bytes(one))[0] for one in proof.documents[: reasons.TRIAL_ROWS]]
    yield from reasons.check(model_dir, made, booster, some, is_required=requires_reasons)
    (served / golden.FILE).write_bytes(
        msgspec.json.encode(
            golden.Golden(
                proof.documents, proof.scores.tolist(), inspected.is_generated, proof.tolerance
            )
        )
    )
    if booster is not None and (reason := why_not(model_dir)) is not None:
        yield f"no accelerator: {reason}; LightGBM itself scores, more slowly"
    if bundle.find(model_dir, bundle.REFERENCE) is None:
        yield (
            f"no {bundle.REFERENCE} was logged: no training ranges, so nothing is reported as out "
            "of range, and drift cannot be detected"
        )
    if bundle.find(model_dir, bundle.GOLDEN) is None:
        yield (
            f"no {bundle.GOLDEN} was logged: {len(proof.documents)} rows drawn from the contract, "
            "scored by MLflow's own loader, stand for it; the scores of training are not proved"
        )
    if made.task == "binary" and bundle.find(model_dir, bundle.DECISION) is None:
        yield f"no {bundle.DECISION} was logged: labels change at a probability of 0.5"


def _make_latest(tag: str, files: dict[str, str]) -> bool:
    name = tag.partition(":")[0]
    try:
        stored = bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        return True
    is_latest = bentoml.models.get(f"{name}:latest").tag == stored.tag
    if is_latest and stored.info.metadata.get("files") == files:
        return False
    # A rollback, or another compiler: the same model again, so that NAME:latest is what was
    # imported last, as it was imported last.
    bentoml.models.delete(tag)
    return True


def _labels(origin: Origin, made: Contract) -> dict[str, str]:
    labels = {
        "mlflow_run_id": origin.run_id,
        "registry_name": origin.registry_name,
        "registry_version": origin.registry_version,
        "contract": made.hash[:12],
        "task": made.task,
    }
    return {name: value for name, value in labels.items() if value}


def _metadata(
    origin: Origin, made: Contract, model_dir: Path, files: dict[str, str], digest: str
) -> dict[str, object]:
    recorded = MlflowModel.load(str(model_dir))
    flavors = sorted(set(recorded.flavors) - {"python_function"}) or ["python_function"]
    return {
        "format": FORMAT,
        "source": origin.uri,
        "mlflow_run_id": origin.run_id,
        "registry_name": origin.registry_name,
        "registry_version": origin.registry_version,
        "flavor": flavors[0],
        "signature": json.dumps(recorded.signature.to_dict()),
        "contract_hash": made.hash,
        "digest": digest,
        "files": files,
        "metrics": origin.metrics,
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    loaded = [names for module, names in _LOADED_PACKAGES.items() if module in sys.modules]
    found = {name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES}
    for names in loaded:
        for name in names:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[name] = importlib.metadata.version(name)
    return found
