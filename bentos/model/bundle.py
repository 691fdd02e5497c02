"""The evidence that travels with a model: files beside it in MLflow.

A model is logged with `extra_files=[...]` (MLflow puts them under `extra_files/`),
any of:

- `reference.parquet`: a sample of the training rows with the model's scores. Ranges,
  missing rates and drift detection come from it.
- `golden.parquet`: rows with the exact scores of the model as trained. A server that
  answers anything else is not ready.
- `decision.json`: the threshold that turns a score into a label, and how it was chosen.
- `features.json`: a sentence a feature, for the API's documentation.
- `model_card.md`: what the model is for, and what it is not for.
- `reasons.yaml`: the reasons for a refusal, by feature (`bentos.model.explanation.reasons`).

This module owns their names and shapes; training writes them, the intake reads them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

FOLDER = "extra_files"
REFERENCE = "reference.parquet"
GOLDEN = "golden.parquet"
DECISION = "decision.json"
FEATURES = "features.json"
CARD = "model_card.md"
REASONS = "reasons.yaml"

# No feature name may start with this: the score columns are in the same table.
SCORE_PREFIX = "__score__"


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a binary score becomes a label.

    `threshold`: probability in [0, 1]; a score equal to it or above gets the second class.
    `method`: one sentence on how and on which rows it was chosen.
    """

    threshold: float
    method: str


def find(model_dir: Path, name: str) -> Path | None:
    """Find a file of the bundle where MLflow put it, if it was logged."""
    path = model_dir / FOLDER / name
    return path if path.is_file() else None


def score_columns(classes: Sequence[object] | None) -> list[str]:
    """Name the score columns: one for a single score, one a class for several."""
    if classes is None:
        return [SCORE_PREFIX]
    return [f"{SCORE_PREFIX}{label}" for label in classes]


def write_scored_rows(
    path: Path,
    rows: pd.DataFrame,
    scores: NDArray[np.float64],
    classes: Sequence[object] | None = None,
) -> Path:
    """Write rows and their scores as Parquet.

    `rows`: the features as the model was trained on them, shape (n, features).
    `scores`: float64, shape (n,) or, with `classes`, (n, len(classes)).
    Raises ValueError where the shapes differ or a feature has a reserved name.
    """
    reserved = [str(name) for name in rows.columns if str(name).startswith(SCORE_PREFIX)]
    if reserved:
        raise ValueError(f"feature names may not start with {SCORE_PREFIX!r}: {reserved}")
    columns = score_columns(classes)
    table = np.asarray(scores, dtype=np.float64).reshape(len(rows), -1)
    if table.shape[1] != len(columns):
        raise ValueError(f"scores have {table.shape[1]} columns, expected {len(columns)}")
    scored = rows.reset_index(drop=True).copy()
    for position, column in enumerate(columns):
        scored[column] = table[:, position]
    scored.to_parquet(path, index=False)
    return path


def read_scored_rows(path: Path) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Read rows and scores back: a frame of shape (n, features), float64 of shape (n, scores)."""
    import pandas as pd  # noqa: PLC0415 - a worker never loads it

    scored = pd.read_parquet(path)
    columns = [name for name in scored.columns if str(name).startswith(SCORE_PREFIX)]
    if not columns:
        raise ValueError(f"{path.name} has no column named {SCORE_PREFIX!r}")
    return scored.drop(columns=columns), scored[columns].to_numpy(dtype=np.float64)


def write_decision(path: Path, decision: Decision) -> Path:
    """Write the decision threshold. Raises ValueError outside [0, 1]."""
    if not 0.0 <= decision.threshold <= 1.0:
        raise ValueError("a decision threshold is a probability in [0, 1]")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(decision), indent=2) + b"\n")
    return path


def write_features(path: Path, descriptions: Mapping[str, str]) -> Path:
    """Write a description for each feature name."""
    path.write_text(json.dumps(dict(descriptions), indent=2, ensure_ascii=False) + "\n")
    return path
