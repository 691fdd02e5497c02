"""Evidence for a model that is logged already: made from rows, added to its files in MLflow.

The rows must be like those of training and must not have trained the model: the reference for
drift, the threshold and the metrics are taken from them.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import mlflow
import msgspec
import numpy as np
import pandas as pd
from mlflow.models import Model as MlflowModel
from numpy.typing import NDArray

from bentos.audit.quality import measures
from bentos.commands import tables
from bentos.errors import TabserveError
from bentos.model import bundle, store
from bentos.model.contract import Contract
from bentos.model.engines import flavors, pyfunc
from bentos.model.engines.pandas_frame import to_pandas
from bentos.model.engines.predictor import Scores
from bentos.model.explanation import reasons
from bentos.model.frame import Frame, Framer
from bentos.model.intake import importing
from bentos.model.json_rows import RowReader
from bentos.model.separation import separate
from bentos.model.validation import EncodedRow, Encoder
from bentos.training.evidence import choose_golden
from bentos.training.split import shuffle

GOLDEN_ROWS = 256
# A smaller reference has chance differences of its own, a larger one makes drift runs longer.
REFERENCE_ROWS = 15_000
_SEED = 2005


class NoEvidence(TabserveError):
    """Evidence cannot be made or logged; the message says why."""


class Logged(msgspec.Struct, frozen=True):
    """What was added to a model. `refused`: rows of the table that its contract refuses."""

    files: tuple[str, ...]
    rows: int
    refused: int
    threshold: float | None
    metrics: dict[str, float]


def log(
    uri: str,
    table: Path,
    target: str | None = None,
    threshold: float | None = None,
    *,
    reasons_file: Path | None = None,
    trusts_code: bool = False,
) -> Logged:
    """Add reference, golden rows, threshold and metrics to a model that MLflow has.

    `uri`: as for `tabserve import`; a local folder is written to in place. `table`: CSV or
    Parquet with the model's features. `target`: its column of outcomes; without one there is
    neither a chosen threshold nor a metric. `threshold`: of a binary model, instead of the one
    with the largest difference of true and false positive rate on the table. `reasons_file`: the
    reasons for a refusal (`bentos.model.explanation.reasons`). `trusts_code`: whether code that
    came with the model may run.
    Raises TabserveError.
    """
    imported = importing.import_model(uri, trusts_code=trusts_code)
    import bentoml  # noqa: PLC0415 - --help stays quick

    stored = store.open_model(bentoml.models.get(imported.tag))
    try:
        made = stored.contract
        given = None if reasons_file is None else reasons_file.read_bytes()
        if given is not None:
            reasons.check(reasons.parse(given), made)
        frame = tables.read_table(table, made)
        encoded, outcomes, refused = _read(frame, made, target, table.name)
        call = flavors.load(stored.folder).call
        predictor = pyfunc.PyfuncPredictor(made, call)
        scores, scored = _score(predictor, Framer(made).frame(encoded), table.name)
        refused += len(encoded) - len(scored)
        encoded, outcomes = [encoded[place] for place in scored], outcomes[scored]
        features = to_pandas(made, encoded)
        metrics: dict[str, float] = {}
        method = "given by hand"
        if target is not None and made.task == "binary" and threshold is None:
            threshold = choose_threshold(scores, outcomes)
            method = (
                "Largest difference between true and false positive rate (Youden's J) on "
                f"{len(scores):,} rows of {table.name}"
            )
        if target is not None:
            decision = made.threshold if threshold is None else threshold
            metrics = _measure(made, scores, outcomes, 0.5 if decision is None else decision)
        with tempfile.TemporaryDirectory(prefix="tabserve-evidence-") as scratch:
            folder = Path(scratch) / bundle.FOLDER
            folder.mkdir()
            _write(folder, made, features, scores)
            if threshold is not None:
                bundle.write_decision(folder / bundle.DECISION, bundle.Decision(threshold, method))
            if given is not None:
                (folder / bundle.REASONS).write_bytes(given)
            files = tuple(sorted(path.name for path in folder.iterdir()))
            if metrics:
                # On how many rows: a comparison with them needs to know how exact they are.
                metrics["test_rows"] = float(len(encoded))
            _upload(uri, stored.folder, folder, metrics)
    finally:
        if imported.is_new:
            # It was imported to be read; the import with its evidence is another version.
            bentoml.models.delete(imported.tag)
    return Logged(files, len(encoded), refused, threshold, metrics)


def _score(
    predictor: pyfunc.PyfuncPredictor, frame: Frame, name: str
) -> tuple[Scores, NDArray[np.intp]]:
    """Score what the model can score: float64, and the positions of those rows."""
    try:
        return predictor.predict(frame), np.arange(len(frame.matrix))
    except Exception:
        # Its own library may refuse a row that its signature allows.
        found = separate(predictor.predict, frame)
    if not found:
        raise NoEvidence(f"the model can score no row of {name}")
    places = [np.arange(first, first + len(scores)) for first, scores in found]
    return np.concatenate([scores for _, scores in found]), np.concatenate(places)


def _read(
    frame: pd.DataFrame, made: Contract, target: str | None, name: str
) -> tuple[list[EncodedRow], NDArray[np.float64], int]:
    """Rows that the contract accepts, and their outcomes: class numbers, or values."""
    outcomes = np.full(len(frame), np.nan)
    if target is not None:
        if target not in frame:
            raise NoEvidence(f"{name} has no column {target!r}")
        outcomes = _outcomes(frame[target], made, target)
    rows = list(tables.read_rows(frame, made, RowReader(Encoder(made))))
    kept = [number for number, row in enumerate(rows) if isinstance(row, tuple)]
    if target is not None:
        kept = [number for number in kept if not np.isnan(outcomes[number])]
    if not kept:
        first = next((row for row in rows if isinstance(row, list)), None)
        reason = f": {first[0].pointer} {first[0].detail}" if first else ""
        raise NoEvidence(f"{name} has no row that the model's contract accepts{reason}")
    good = [row for row in (rows[number] for number in kept) if isinstance(row, tuple)]
    return good, outcomes[kept], len(rows) - len(kept)


def _outcomes(values: pd.Series, made: Contract, target: str) -> NDArray[np.float64]:
    if made.classes is None:
        numbers = pd.to_numeric(values, errors="coerce")
    else:
        # Classes as text: a file has no types, and 1 and 1.0 are one class.
        places = {_as_text(label): float(place) for place, label in enumerate(made.classes)}
        numbers = values.map(lambda value: places.get(_as_text(value)))
    found = np.asarray(numbers, dtype=np.float64)
    if np.isnan(found).all():
        raise NoEvidence(f"column {target!r} has no outcome of the model: another column?")
    return found


def _as_text(label: object) -> str:
    text = str(label)
    if isinstance(label, bool) or text in ("true", "TRUE", "false", "FALSE"):
        return text.capitalize()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def choose_threshold(scores: Scores, outcomes: NDArray[np.float64]) -> float:
    """The score with the largest true minus false positive rate; of equals the highest.

    `scores`, `outcomes`: shape (n,); an outcome is 0.0 or 1.0. Raises NoEvidence where only
    one class occurs.
    """
    positives = float(outcomes.sum())
    negatives = len(outcomes) - positives
    if not positives or not negatives:
        raise NoEvidence("the rows have outcomes of one class only: no threshold can be chosen")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    gain = np.cumsum(outcomes[order]) / positives - np.cumsum(1 - outcomes[order]) / negatives
    # Rows of one score are decided together: only the last of them is a threshold.
    gain[:-1][ranked[1:] == ranked[:-1]] = -np.inf
    return float(ranked[int(np.argmax(gain))])


def _measure(
    made: Contract, scores: Scores, outcomes: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    if made.task == "binary":
        decided = (scores >= threshold).astype(np.float64)
        found = measures.measure_binary(scores, outcomes, decided)
    elif made.task == "multiclass":
        found = measures.measure_multiclass(
            scores, outcomes.astype(np.int64), scores.argmax(axis=1).astype(np.int64)
        )
    else:
        found = measures.measure_regression(scores, outcomes)
    return {f"test_{name}": value for name, value in found.items() if np.isfinite(value)}


def _write(folder: Path, made: Contract, features: pd.DataFrame, scores: Scores) -> None:
    classes = made.classes if made.task == "multiclass" else None
    ranked = scores if scores.ndim == 1 else scores[:, 0]
    sampled = np.sort(shuffle(len(features), _SEED)[:REFERENCE_ROWS])
    plain = features.astype(
        {name: object for name in features if isinstance(features[name].dtype, pd.CategoricalDtype)}
    )
    bundle.write_scored_rows(
        folder / bundle.REFERENCE, plain.iloc[sampled], scores[sampled], classes
    )
    # Rows as they are: a model may not take the gaps that trees take.
    places = pd.DataFrame({"place": np.arange(len(features))})
    golden = choose_golden(places, ranked, GOLDEN_ROWS, has_gaps=False)
    chosen = golden["place"].to_numpy(dtype=np.int64)
    bundle.write_scored_rows(folder / bundle.GOLDEN, plain.iloc[chosen], scores[chosen], classes)


def _upload(uri: str, model_dir: Path, folder: Path, metrics: dict[str, float]) -> None:
    """Put the files where an import of the same URI finds them, and the metrics into the run."""
    recorded = MlflowModel.load(str(model_dir))
    client = mlflow.MlflowClient()
    local = Path(uri.removeprefix("file://"))
    if (local / "MLmodel").is_file():
        shutil.copytree(folder, local / bundle.FOLDER, dirs_exist_ok=True)
    elif recorded.model_id:
        client.log_model_artifacts(recorded.model_id, str(folder), bundle.FOLDER)
    elif recorded.run_id:
        place = f"{recorded.artifact_path}/{bundle.FOLDER}"
        client.log_artifacts(recorded.run_id, str(folder), place)
    else:
        raise NoEvidence(f"{uri} records neither a run nor a model id to add files to")
    if recorded.run_id:
        for name, value in metrics.items():
            client.log_metric(recorded.run_id, name, value)
