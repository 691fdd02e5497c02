"""What an MLflow model folder says of itself: contract, booster, and the proof of both.

Reads only; `importing.py` decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from mlflow.models import Model as MlflowModel

from bentos.errors import IntakeError
from bentos.model import bundle
from bentos.model.contract import FLOAT32_MAX, Contract, Engine, Feature
from bentos.model.engines import flavors
from bentos.model.engines.flavors import Loaded
from bentos.model.engines.trees import Unsupported, parse
from bentos.model.intake import boosted
from bentos.model.intake import evidence as logged
from bentos.model.intake.binding import match_names, read_trees
from bentos.model.intake.boosted import Boosted, Lacking, read_boosted
from bentos.model.intake.boosted_proof import prove_trees, shorten
from bentos.model.intake.choice import choose_binding
from bentos.model.intake.derive import describe, features_from_signature
from bentos.model.intake.evidence import Evidence
from bentos.model.intake.generated import Row, generate, thresholds
from bentos.model.intake.inner import restore_categories
from bentos.model.intake.lightgbm_model import own_prediction, read_lightgbm
from bentos.model.intake.proof import Proof, check_logged, explain, prove_native, prove_pyfunc
from bentos.model.intake.rows import SentRows, check_scored, require_columns, send
from bentos.model.intake.task import Answers, task_of

_NO_TEXT = (
    "no row is known for feature '{name}', which is a string: log the model with "
    "input_example=X.head()"
)


# How often rows are drawn for trees that no library stands behind where they serve, and how
# many of them become golden rows.
_DRAWS = 3
GOLDEN_ROWS = 300


class Inspected(msgspec.Struct, frozen=True):
    """A model that is proved to be served right.

    `booster`: its text, where LightGBM's own prediction serves it. `boosted`: the trees of
    another library, where lignum serves them. `proof`: the golden rows. `is_generated`:
    whether they were drawn from the contract, as none were logged.
    """

    contract: Contract
    booster: str | None
    proof: Proof
    is_generated: bool
    warnings: tuple[str, ...] = ()
    boosted: Boosted | None = None


def inspect(model_dir: Path) -> Inspected:
    """Derive a model's contract and prove it. Raises IntakeError where it cannot be served."""
    recorded = _read_manifest(model_dir)
    signature = recorded.signature
    columns = signature.inputs.to_dict() if signature and signature.inputs else []
    features = features_from_signature(columns)
    evidence = logged.gather(model_dir, recorded)
    loaded = _load(model_dir)
    if "lightgbm" in recorded.flavors:
        return _inspect_lightgbm(features, evidence, loaded)
    outputs = signature.outputs.to_dict() if signature.outputs else []
    answers = task_of(loaded, outputs, recorded.metadata or {})
    features = restore_categories(features, loaded.model, evidence)
    made = _contract(features, evidence, answers, "pyfunc")
    if not boosted.library_of(loaded.model):
        return _proved_by_mlflow(made, evidence, loaded, ())
    try:
        return _inspect_boosted(made, evidence, loaded)
    except Lacking as error:
        warning = f"lignum does not serve this model ({error}): MLflow does, more slowly"
        return _proved_by_mlflow(made, evidence, loaded, (warning,))


def _read_manifest(model_dir: Path) -> MlflowModel:
    try:
        recorded = MlflowModel.load(str(model_dir))
    except Exception as error:
        raise IntakeError(f"the file MLmodel cannot be read: {explain(error)}") from None
    if "python_function" not in recorded.flavors:
        raise IntakeError("the model has no pyfunc flavor: log it with one of mlflow's flavors")
    return recorded


def _load(model_dir: Path) -> Loaded:
    try:
        return flavors.load(model_dir)
    except IntakeError:
        raise
    except ModuleNotFoundError as error:
        raise IntakeError(
            f"the model needs the Python package '{error.name}', which is not installed here: "
            "install the packages that it was trained with"
        ) from None
    except Exception as error:
        raise IntakeError(f"MLflow cannot load the model here ({explain(error)})") from None


def _inspect_lightgbm(features: Sequence[Feature], evidence: Evidence, loaded: Loaded) -> Inspected:
    task, classes, booster = read_lightgbm(loaded.model)
    text = booster.model_to_string()
    trees = read_trees(text)
    warnings = match_names(features, trees)
    features = choose_binding(features, trees, text, evidence)
    made = _contract(features, evidence, (task, classes), "booster")
    try:
        points = thresholds(made, parse(text))
    except Unsupported:
        # Trees of a kind that is not read here are proved with rows of the training range.
        points = {}
    for feature, info in zip(made.features, trees.feature_infos, strict=True):
        if info.startswith("[") and feature.categories is None:
            edges = info.strip("[]").split(":")
            points[feature.name] = [*points.get(feature.name, ()), *map(float, edges)]
    drawn = send(made, generate(made, points, is_extreme=True), "the generated rows")
    proof = own_prediction(loaded.model) or prove_native(made, text, loaded, drawn)
    if isinstance(proof, str):
        warnings.append(
            f"the model's own predict is not its booster's ({proof}): MLflow serves it, more slowly"
        )
        made = msgspec.structs.replace(made, engine="pyfunc")
        return _proved_by_mlflow(made, evidence, loaded, warnings)
    kept, left_out = _golden_rows(made, evidence)
    if kept is None or evidence.golden is None:
        return Inspected(made, text, proof, True, (*warnings, *left_out))
    golden_proof = prove_native(made, text, loaded, kept)
    if isinstance(golden_proof, str):
        raise IntakeError(f"the golden rows contradict the booster: {golden_proof}")
    check_logged(golden_proof, evidence.golden[1], kept)
    return Inspected(made, text, golden_proof, False, (*warnings, *left_out))


def _inspect_boosted(made: Contract, evidence: Evidence, loaded: Loaded) -> Inspected:
    """Prove the trees of XGBoost or CatBoost. Raises Lacking where that library must serve."""
    taken = read_boosted(loaded.model, made.features)
    made = msgspec.structs.replace(made, engine="trees")
    points = _known_values(made, evidence)
    for name, values in taken.points.items():
        points[name] = [*points[name], *values]
    rows = _complete(made, evidence.example or [])
    for seed in range(_DRAWS):
        rows += generate(made, points, is_extreme=True, seed=seed, largest=FLOAT32_MAX)
    # Beyond float32, where the library may take no number.
    for feature in [one for one in made.features if one.dtype == "double"][:1]:
        rows += [{**rows[0], feature.name: value} for value in (1e300, -1e300)]
    drawn = send(made, rows, "the generated rows")
    proof = prove_trees(made, taken, loaded, drawn)
    kept, left_out = _golden_rows(made, evidence)
    if kept is None or evidence.golden is None:
        return Inspected(made, None, shorten(proof, GOLDEN_ROWS), True, tuple(left_out), taken)
    golden_proof = prove_trees(made, taken, loaded, kept)
    check_logged(golden_proof, evidence.golden[1], kept)
    return Inspected(made, None, golden_proof, False, tuple(left_out), taken)


def _known_values(made: Contract, evidence: Evidence) -> dict[str, list[object]]:
    """The values that logged rows have, by feature. Raises IntakeError for a text without any."""
    known = {feature.name: evidence.values(feature) for feature in made.features}
    for feature in made.features:
        if feature.kind == "text" and not known[feature.name]:
            raise IntakeError(_NO_TEXT.format(name=feature.name))
    return known


def _proved_by_mlflow(
    made: Contract, evidence: Evidence, loaded: Loaded, warnings: Sequence[str]
) -> Inspected:
    points = _known_values(made, evidence)
    rows = [*_complete(made, evidence.example or []), *generate(made, points, is_extreme=False)]
    proof = prove_pyfunc(made, loaded, send(made, rows, "the example rows"))
    kept, left_out = _golden_rows(made, evidence)
    if kept is None or evidence.golden is None:
        return Inspected(made, None, proof, True, (*warnings, *left_out))
    golden_proof = prove_pyfunc(made, loaded, kept)
    check_logged(golden_proof, evidence.golden[1], kept)
    return Inspected(made, None, golden_proof, False, (*warnings, *left_out))


def _complete(made: Contract, rows: Sequence[Row]) -> list[Row]:
    """The example rows that have every feature, in the contract's order."""
    return [
        {name: row[name] for name in made.names}
        for row in rows
        if all(name in row for name in made.names)
    ]


def _golden_rows(made: Contract, evidence: Evidence) -> tuple[SentRows | None, list[str]]:
    """The logged golden rows that a client could send, and a warning of those that none could."""
    if evidence.golden is None:
        return None, []
    frame = evidence.golden[0]
    require_columns(frame, made)
    check_scored(evidence.golden, made, bundle.GOLDEN)
    sent = send(made, evidence.golden_rows, bundle.GOLDEN)
    lost = len(frame) - len(sent.kept)
    if not lost:
        return sent, []
    warning = (
        f"{lost} of {len(frame)} golden rows have an infinity or a number that their column "
        "type cannot carry in JSON: no client can send them, so they were left out"
    )
    return (sent if sent.kept else None), [warning]


def _contract(
    features: Sequence[Feature], evidence: Evidence, answers: Answers, engine: Engine
) -> Contract:
    task, classes = answers
    threshold, method = None, ""
    if task == "binary":
        decision = evidence.decision
        threshold = 0.5 if decision is None else decision.threshold
        method = (
            "default: no threshold was logged with the model"
            if decision is None
            else decision.method
        )
    made = Contract(
        features=describe(features, evidence.descriptions, logged.profiles(evidence, features)),
        task=task,
        engine=engine,
        classes=classes,
        threshold=threshold,
        threshold_method=method,
    )
    if evidence.reference is not None:
        check_scored(evidence.reference, made, bundle.REFERENCE)
    return made
