"""What a model's answers mean: the task, from the model's class and its signature.

Never from the shape of an answer: two columns may be two classes, two targets, or the
ends of an interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bentos.errors import IntakeError
from bentos.model.contract import Category, Task
from bentos.model.engines.flavors import Loaded

Answers = tuple[Task, tuple[Category, ...] | None]

# How a model whose class says nothing names its classes: log_model(metadata=...).
METADATA = "tabserve"

# Probabilities of exclusive classes add up to one; float32 sums are this near.
_SUM_TOLERANCE = 1e-4

_HOW_TO_NAME = "log it with metadata={'tabserve': {'classes': [...]}} if they are probabilities"


def task_of(
    loaded: Loaded, outputs: Sequence[Mapping[str, object]], metadata: Mapping[str, object]
) -> Answers:
    """Decide on task and classes. `outputs`: of the signature, as plain JSON.

    Raises IntakeError where the answers are labels, or where nothing says what they mean.
    """
    if loaded.classes is not None:
        return _classes(loaded.classes, f"a classifier of type {loaded.type_name}")
    if loaded.is_regression:
        return "regression", None
    named = metadata.get(METADATA)
    classes = named.get("classes") if isinstance(named, Mapping) else None
    if isinstance(classes, list):
        if not all(isinstance(label, Category) for label in classes):
            raise IntakeError(
                "the classes in the model's metadata must be text, numbers or booleans"
            )
        return _classes(tuple(classes), "the model's metadata")
    return _from_signature(outputs, loaded.type_name)


def _classes(classes: tuple[Category, ...], what: str) -> Answers:
    if len(classes) < 2:
        raise IntakeError(f"{what} has {len(classes)} classes: nothing is left to decide")
    if len({str(label) for label in classes}) != len(classes):
        raise IntakeError(f"{what} has classes that are written alike in JSON: rename them")
    return ("binary" if len(classes) == 2 else "multiclass"), classes


def _from_signature(outputs: Sequence[Mapping[str, object]], type_name: str) -> Answers:
    if not outputs:
        raise IntakeError(
            f"neither the class of the model ({type_name}) nor its signature says what it answers: "
            "log it with signature=mlflow.models.infer_signature(X, model.predict(X))"
        )
    if len(outputs) > 1:
        raise IntakeError(
            f"the signature has {len(outputs)} outputs, and nothing says whether they are classes "
            f"or several targets: {_HOW_TO_NAME}; several targets are not served"
        )
    kind = outputs[0].get("type")
    if kind == "tensor":
        spec = outputs[0].get("tensor-spec")
        given = spec if isinstance(spec, Mapping) else {}
        shape, dtype = list(given.get("shape", ())), str(given.get("dtype", ""))
        if len(shape) > 1 and shape[1:] != [1]:
            raise IntakeError(
                "the signature's output is a tensor of several numbers a row, and nothing says "
                f"whether they are classes: {_HOW_TO_NAME}; several targets are not served"
            )
        is_float = dtype.startswith("float")
    else:
        is_float = kind in ("double", "float")
    if not is_float:
        raise IntakeError(
            f"the signature's output is no floating-point number, so the model ({type_name}) may "
            "give labels: log one that gives probabilities or values as floats, with a signature "
            "inferred from them"
        )
    return "regression", None


def check_scores(
    scores: NDArray[np.float64], task: Task, classes: Sequence[Category] | None, loaded: Loaded
) -> None:
    """Hold what a model answers against its task. Raises IntakeError.

    `scores`: as the model gave them, of shape (rows,) or (rows, columns).
    """
    columns = 1 if scores.ndim == 1 else scores.shape[1]
    if task == "regression":
        if columns != 1:
            raise IntakeError(
                f"the model gives {columns} numbers a row: several targets are not served, log "
                "one model for each"
            )
        return
    count = len(classes or ())
    if columns != count and not (task == "binary" and columns == 1):
        raise IntakeError(f"the model has {count} classes and gives {columns} numbers a row")
    present = scores[np.isfinite(scores).reshape(len(scores), -1).all(axis=1)]
    if ((present < -_SUM_TOLERANCE) | (present > 1 + _SUM_TOLERANCE)).any():
        raise IntakeError(
            f"the model ({loaded.type_name}) gives numbers outside 0 to 1: no probabilities of "
            "classes; calibrate it, or log it as a regression"
        )
    if columns > 1 and not loaded.is_one_against_rest:
        sums = present.sum(axis=1)
        if len(sums) and np.abs(sums - 1.0).max() > _SUM_TOLERANCE:
            raise IntakeError(
                f"the model ({loaded.type_name}) gives numbers that do not add up to 1: "
                "its classes do not exclude each other, which is not served"
            )
