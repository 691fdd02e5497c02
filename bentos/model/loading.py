"""A stored model made ready to answer, and the proofs that it must pass first."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import yaml

from bentos.child import child_environment
from bentos.errors import IntakeError, IntegrityError
from bentos.model import bundle, engine, golden
from bentos.model.columns import ColumnEncoder
from bentos.model.engines.predictor import Scores
from bentos.model.explanation import reasons
from bentos.model.explanation.explainer import Explainer
from bentos.model.explanation.reasons import ReasonsFile
from bentos.model.json_batches import BatchReader
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.scoring import Scorer
from bentos.model.store import StoredModel
from bentos.model.tables.columns import TableEncoder
from bentos.model.validation import Encoder
from bentos.settings import Settings

# Flavors whose library, named alike, a server of their trees need not have.
_LIBRARIES = {"xgboost", "catboost"}


class LoadedModel:
    """One model, ready to score: everything that depends on its contract, made once."""

    def __init__(self, stored: StoredModel, settings: Settings) -> None:
        self.stored = stored
        self.contract = stored.contract
        encoder = Encoder(stored.contract, settings.unknown_category)
        self.reader = BatchReader(encoder)
        self.columns = ColumnEncoder(encoder)
        self.tables = TableEncoder(encoder)
        self.golden = golden.read(stored.read(f"{FOLDER}/{golden.FILE}"))
        self.engine = engine.choose(stored, settings)
        self.scorer = Scorer(stored.contract, self.engine.predictor)
        self.gives_labels = _gives_labels(stored)
        self.explainer = _open_explainer(stored)
        reference = {"name": stored.name, "version": stored.version}
        self.reference = msgspec.Raw(msgspec.json.encode(reference))
        self.model_json = msgspec.json.encode(
            _description(stored, self.engine.name, self.explainer)
        )
        # What a protocol works out of the contract once, by the protocol's name.
        self.derived: dict[str, object] = {}

    def prove(self) -> None:
        """Score the golden rows on the way that requests take. Raises IntegrityError.

        Together and one by one: a score must not depend on the rest of its batch.
        """
        rows = golden.encode_rows(self.golden, self.reader.read_row)
        golden.check(self.golden, self.scorer.predict(rows), "the serving path")
        alone = [self.scorer.predict([row]) for row in rows]
        golden.check(self.golden, np.concatenate(alone), "the serving path, row by row,")

    async def prove_with_mlflow(self) -> bool:
        """Score the golden rows with MLflow's own loader, in a process of its own.

        Gives False where there is nothing new to learn: no golden rows of training, no mlflow
        here, the packages of the import, which scored them with that loader, or code that came
        with the model and would run. Half of a start is spared where nothing changed.
        Raises IntegrityError.
        """
        if self.golden.is_generated:
            return False
        if _are_installed(self.stored.provenance.packages):
            return False
        needed = ["mlflow", *({self.stored.provenance.flavor} & _LIBRARIES)]
        if any(importlib.util.find_spec(name) is None for name in needed):
            return False
        scores = await _rescore(self.stored.folder)
        if scores.ndim == 0:
            # Loading would have run code that came with the model.
            return False
        golden.check(self.golden, scores, "MLflow's own loader")
        return True


def _gives_labels(stored: StoredModel) -> bool:
    """Whether MLflow's own `predict` gives labels: a bare booster's does not."""
    flavors = yaml.safe_load(stored.read("MLmodel"))["flavors"]
    kinds = {
        str(flavors[name].get("model_class") or flavors[name].get("model_type") or name)
        for name in ("lightgbm", "xgboost", "catboost", "sklearn")
        if name in flavors
    }
    is_classifier = any(not kind.endswith(("Booster", "CatBoost")) for kind in kinds)
    return stored.contract.classes is not None and is_classifier


def _are_installed(packages: Mapping[str, str]) -> bool:
    """Whether exactly these versions are installed here; False for none."""
    try:
        return bool(packages) and all(
            importlib.metadata.version(name) == version for name, version in packages.items()
        )
    except importlib.metadata.PackageNotFoundError:
        return False


async def _rescore(folder: Path) -> Scores:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bentos.model.golden",
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**child_environment(), "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        # The last line of a traceback is `Type: message`, and a message may quote a row.
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        kind = last.partition(":")[0].rpartition(".")[2]
        what = kind if kind.isidentifier() else f"exit code {process.returncode}"
        raise IntegrityError(f"MLflow's own loader cannot score the golden rows: {what}")
    return golden.parse_scores(output)


def _open_explainer(stored: StoredModel) -> Explainer:
    files = stored.provenance.files
    booster, file = f"{FOLDER}/{BOOSTER}", f"{bundle.FOLDER}/{bundle.REASONS}"
    known: ReasonsFile | None = None
    if file in files:
        try:
            known = reasons.parse(stored.read(file))
            reasons.check(known, stored.contract)
        except IntakeError as error:
            # Imported by a tabserve that did not check the file as this one does.
            raise IntegrityError(f"{error}: import the model again") from None

    def read_text() -> str:
        return stored.read(booster).decode()

    return Explainer(stored.contract, read_text if booster in files else None, known)


def _description(stored: StoredModel, engine_name: str, explainer: Explainer) -> dict[str, object]:
    made, provenance = stored.contract, stored.provenance
    return {
        "name": stored.name,
        "version": stored.version,
        "imported": stored.created,
        "mlflow": {
            "run_id": provenance.mlflow_run_id,
            "registry_name": provenance.registry_name,
            "registry_version": provenance.registry_version,
            "flavor": provenance.flavor,
        },
        "digest": provenance.digest,
        "engine": engine_name,
        "task": made.task,
        "classes": made.classes,
        # `score` is the probability of this class.
        "score_class": made.classes[1] if made.task == "binary" and made.classes else None,
        "threshold": made.threshold,
        "threshold_method": made.threshold_method,
        "contract_hash": made.hash,
        "features": [
            {
                **feature.interface,
                "description": feature.description,
                "profile": feature.profile,
            }
            for feature in made.features
        ],
        "explanation": explainer.describe(),
        "metrics": provenance.metrics,
        "dependencies": provenance.packages,
    }
