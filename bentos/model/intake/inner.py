"""Category columns of models that MLflow runs: what the signature lost on the way.

A signature calls a pandas category column by the type of its categories. A LightGBM
model inside a pipeline needs the column back as it was in training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import lightgbm
import msgspec
import pandas as pd

from bentos.errors import IntakeError
from bentos.model.contract import Category, Feature
from bentos.model.intake import boosted
from bentos.model.intake.binding import Trees, read_trees
from bentos.model.intake.choice import choose_binding
from bentos.model.intake.evidence import Evidence

# How deep estimators are nested in each other.
_MOST_LEVELS = 12


def restore_categories(
    features: Sequence[Feature], model: object, evidence: Evidence
) -> list[Feature]:
    """Give features their categories: from logged frames, else from the boosters inside.

    Raises IntakeError where a booster inside needs categories and no column is known to
    have them.
    """
    shown = _from_frames(features, evidence)
    if shown is not None:
        return shown
    if boosted.library_of(model):
        return boosted.restore_categories(features, model)
    for booster in _boosters(model):
        if not booster.pandas_categorical:
            continue
        text = booster.model_to_string()
        trees = read_trees(text)
        if _names(trees.feature_names) == _names(feature.name for feature in features):
            # The scores of golden rows are the outer model's: they say nothing of the booster.
            beside = msgspec.structs.replace(evidence, golden=None)
            return choose_binding(features, trees, text, beside)
        return _by_values(features, trees, evidence)
    return list(features)


def _names(names: object) -> list[str]:
    return [re.sub(r"\s", "_", str(name)) for name in names]  # type: ignore[attr-defined]  # any iterable of names


def _from_frames(features: Sequence[Feature], evidence: Evidence) -> list[Feature] | None:
    for frame in evidence.frames:
        restored = list(features)
        for place, feature in enumerate(features):
            if feature.name not in frame.columns:
                continue
            dtype = frame[feature.name].dtype
            if isinstance(dtype, pd.CategoricalDtype):
                categories = tuple(dtype.categories.tolist())
                if categories and all(isinstance(value, Category) for value in categories):
                    restored[place] = msgspec.structs.replace(
                        feature, kind="category", categories=categories
                    )
        if restored != list(features):
            return restored
    return None


def _by_values(features: Sequence[Feature], trees: Trees, evidence: Evidence) -> list[Feature]:
    """Bind each list to the one text column whose known values are all in it."""
    restored = list(features)
    for categories in trees.pandas_categorical:
        fitting = [
            place
            for place, feature in enumerate(restored)
            if feature.kind == "text"
            and (values := evidence.values(feature))
            and all(value in categories for value in values)
        ]
        if len(fitting) != 1:
            raise IntakeError(
                "a LightGBM model inside the model has category columns, and which they are is "
                "not known: log golden.parquet from the training frame, with its category columns"
            )
        restored[fitting[0]] = msgspec.structs.replace(
            restored[fitting[0]], kind="category", categories=categories
        )
    return restored


def _boosters(model: object) -> Iterator[lightgbm.Booster]:
    """The LightGBM boosters inside an estimator, each once."""
    seen: set[int] = set()
    pending: list[tuple[object, int]] = [(model, 0)]
    while pending:
        part, level = pending.pop()
        if id(part) in seen or level > _MOST_LEVELS:
            continue
        seen.add(id(part))
        if isinstance(part, lightgbm.Booster):
            yield part
        elif isinstance(part, lightgbm.LGBMModel):
            if getattr(part, "_Booster", None) is not None:
                yield part.booster_
        elif isinstance(part, list | tuple):
            pending.extend(
                (one, level + 1) for one in part if not isinstance(one, str | float | int)
            )
        elif isinstance(part, dict):
            pending.extend((one, level + 1) for one in part.values())
        elif hasattr(part, "get_params") or hasattr(part, "estimator"):
            pending.extend((one, level + 1) for one in vars(part).values())
