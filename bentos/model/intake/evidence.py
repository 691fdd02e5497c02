"""The evidence that was logged with a model, as far as it is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pandas as pd
from mlflow.models import Model as MlflowModel

from bentos.errors import IntakeError
from bentos.model import bundle
from bentos.model.contract import Feature, Profile
from bentos.model.intake.generated import Row
from bentos.model.intake.rows import ScoredRows, members_of

Kept = TypeVar("Kept")

# Rows of an input example, or of a frame, that are looked at for values.
_MOST_ROWS = 200


class Evidence(msgspec.Struct, frozen=True, dict=True):
    """What is known of a model beside the model: scored rows, example rows, the decision.

    `example`: rows of MLflow's input example as JSON members, None where there is none.
    """

    golden: ScoredRows | None
    reference: ScoredRows | None
    example: list[Row] | None
    decision: bundle.Decision | None
    descriptions: dict[str, str]

    @cached_property
    def golden_rows(self) -> list[Row]:
        return [] if self.golden is None else members_of(self.golden[0])

    @property
    def frames(self) -> list[pd.DataFrame]:
        """The frames that keep pandas' column types."""
        return [kept[0] for kept in (self.golden, self.reference) if kept is not None]

    @cached_property
    def rows(self) -> list[Row]:
        """Rows that the model's owner gave as its input, as JSON members."""
        frames = [row for frame in self.frames for row in members_of(frame.head(_MOST_ROWS))]
        return frames + (self.example or [])[:_MOST_ROWS]

    def values(self, feature: Feature) -> list[object]:
        """The values of a feature in those rows, each once."""
        found = [row[feature.name] for row in self.rows if row.get(feature.name) is not None]
        return list(dict.fromkeys(found))


def gather(model_dir: Path, recorded: MlflowModel) -> Evidence:
    """Read what was logged. Raises IntakeError, naming the file, for what cannot be read."""
    decision = _read_json(model_dir, bundle.DECISION, bundle.Decision)
    if decision is not None and not 0.0 <= decision.threshold <= 1.0:
        raise IntakeError(f"the threshold of {bundle.DECISION} is no probability from 0 to 1")
    return Evidence(
        golden=read_rows(model_dir, bundle.GOLDEN),
        reference=read_rows(model_dir, bundle.REFERENCE),
        example=_read_example(model_dir, recorded),
        decision=decision,
        descriptions=_read_json(model_dir, bundle.FEATURES, dict[str, str]) or {},
    )


def read_rows(model_dir: Path, name: str) -> ScoredRows | None:
    """Read scored rows of the bundle: None where none were logged. Raises IntakeError."""
    path = bundle.find(model_dir, name)
    if path is None:
        return None
    try:
        rows, scores = bundle.read_scored_rows(path)
    except (ValueError, OSError) as error:
        raise IntakeError(f"{name} cannot be read: {error}") from None
    if rows.empty:
        raise IntakeError(f"{name} has no rows: log it with some, or leave it out")
    return rows, scores


def _read_example(model_dir: Path, recorded: MlflowModel) -> list[Row] | None:
    """Read the input example as JSON: MLflow's own reader fails on missing integers."""
    info = recorded.saved_input_example_info or {}
    if info.get("type") != "dataframe":
        return None
    try:
        document = json.loads((model_dir / str(info["artifact_path"])).read_text())
        rows = document.get("data", [])
        columns = document.get("columns") or [str(place) for place in range(len(rows[0]))]
        return [dict(zip(map(str, columns), row, strict=True)) for row in rows] or None
    except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError):
        # An example in another form is none: the model is then proved without it.
        return None


def profiles(evidence: Evidence, features: Sequence[Feature]) -> dict[str, Profile]:
    """What the reference sample shows of each feature, by name."""
    if evidence.reference is None:
        return {}
    rows = evidence.reference[0]
    found: dict[str, Profile] = {}
    for feature in features:
        if feature.name not in rows.columns:
            continue
        column = rows[feature.name]
        missing_rate = float(column.isna().mean())
        present = column.dropna()
        if feature.kind in ("float", "integer") and len(present):
            low, high = float(present.min()), float(present.max())
            # A range has finite ends, in JSON too: what is infinite in training has none.
            if np.isfinite(low) and np.isfinite(high):
                found[feature.name] = Profile(missing_rate, low, high)
                continue
        found[feature.name] = Profile(missing_rate)
    return found


def _read_json(model_dir: Path, name: str, kind: type[Kept]) -> Kept | None:
    path = bundle.find(model_dir, name)
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.MsgspecError as error:
        raise IntakeError(f"{name} cannot be read: {error}") from None
