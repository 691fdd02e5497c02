"""XGBoost and CatBoost models: their trees as a file, and the values that they decide on.

What a model's class does after its trees cannot be seen from rows, so it is asked for here.
Neither library is imported where no model of it was loaded.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bentos.errors import IntakeError
from bentos.model.contract import Category, Feature
from bentos.model.engines.boosted import Notes
from bentos.model.layout import FOLDER, TREES, TREES_NOTES

# Points of one feature that rows are drawn from.
_MOST_POINTS = 400
# Whole numbers that CatBoost may know as categories: it keeps their hashes alone.
_WHOLE_CATEGORIES = range(-2, 60)
# Texts that no training saw.
_UNSEEN = ("", "never seen in training", "n\u00e9ver: \u00abseen\u00bb, \u5024")


class Boosted(msgspec.Struct, frozen=True):
    """The trees of a model in its library's own format.

    `points`: values around which the trees decide, by feature. `is_single`: whether scores
    are computed in float32.
    """

    data: bytes
    notes: Notes
    points: dict[str, list[object]]
    is_single: bool

    def write(self, model_dir: Path) -> None:
        """Write what serving reads into a model's folder."""
        (model_dir / FOLDER / TREES).write_bytes(self.data)
        (model_dir / FOLDER / TREES_NOTES).write_bytes(msgspec.json.encode(self.notes))


class Lacking(Exception):
    """The trees alone do not give the model's scores; the message says why."""


def library_of(model: object) -> str:
    """Which of the two libraries a model's class comes from, directly or by inheritance."""
    for kind in type(model).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in ("xgboost", "catboost"):
            return root
    return ""


def restore_categories(features: Sequence[Feature], model: Any) -> list[Feature]:
    """Give features the categories that XGBoost (3.1 and later) keeps of its training frame.

    Raises IntakeError for texts beyond ASCII: XGBoost 3.2 takes the length in characters for
    that in bytes, cuts the names in the wrong places, and leaves out the last ones.
    """
    restored = list(features)
    if library_of(model) != "xgboost":
        return restored
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    try:
        kept = booster.get_categories(export_to_arrow=True).to_arrow()
        lists = [values for _, values in kept or ()]
    except Exception:
        # Another version, another kind of booster, or none kept.
        return restored
    for place, values in enumerate(lists[: len(restored)]):
        categories = _texts_of(values, restored[place].name, model)
        if categories:
            restored[place] = msgspec.structs.replace(
                restored[place], kind="category", categories=categories
            )
    return restored


def _texts_of(values: Any, feature: str, model: Any) -> tuple[Category, ...]:
    try:
        categories = () if values is None else tuple(values.to_pylist())
        is_whole = all(str(value).isascii() for value in categories)
    except UnicodeDecodeError:
        is_whole = False
    if not is_whole:
        try:
            _require_own(model, "xgboost")
        except Lacking:
            # What its own code takes is not known.
            return ()
        raise IntakeError(
            f"the names of the categories of feature {feature!r} are not all ASCII, and XGBoost "
            "keeps such names cut: log golden.parquet from the training frame, with its category "
            "columns, or train with names in ASCII"
        )
    return categories if all(isinstance(value, Category) for value in categories) else ()


def read_boosted(model: Any, features: Sequence[Feature]) -> Boosted:
    """Take the trees out of a model. Raises Lacking where they are not all of it."""
    try:
        if library_of(model) == "xgboost":
            return _xgboost(model, features)
        return _catboost(model, features)
    except Lacking:
        raise
    except Exception as error:
        raise Lacking(f"its trees cannot be read ({type(error).__name__})") from error


def _xgboost(model: Any, features: Sequence[Feature]) -> Boosted:
    booster = model
    if hasattr(model, "get_booster"):
        _require_own(model, "xgboost")
        missing = model.missing
        if missing is not None and not math.isnan(missing):
            raise Lacking("it takes a number of its own for missing")
        booster = model.get_booster()
        best = booster.attr("best_iteration")
        if best is not None and booster.num_boosted_rounds() > int(best) + 1:
            # What an early stop left out counts in no score.
            booster = booster[: int(best) + 1]
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    boosting = learner["gradient_booster"]
    trees = boosting.get("gbtree", boosting).get("model", {}).get("trees")
    if trees is None:
        raise Lacking("it has no trees")
    near: list[set[float]] = [set() for _ in features]
    for tree in trees:
        for left, place, value, is_set in zip(
            tree["left_children"],
            tree["split_indices"],
            tree["split_conditions"],
            tree["split_type"],
            strict=True,
        ):
            if left != -1 and not is_set:
                near[place].add(value)
    gains = booster.get_score(importance_type="total_gain")
    known = booster.feature_names or [f"f{place}" for place in range(len(features))]
    importance = {
        feature.name: float(gains.get(name, 0.0))
        for feature, name in zip(features, known, strict=True)
    }
    points = dict(zip((one.name for one in features), map(_around, near), strict=True))
    # The classes of scikit-learn's kind predict in place, and take an infinity.
    notes = Notes(importance, is_bounded=booster is model)
    return Boosted(bytes(booster.save_raw("ubj")), notes, points, is_single=True)


def _catboost(model: Any, features: Sequence[Feature]) -> Boosted:
    _require_own(model, "catboost")
    borders: Mapping[int, Sequence[float]] = model.get_borders()
    points = {features[place].name: _around(set(values)) for place, values in borders.items()}
    for place in model.get_cat_feature_indices():
        feature = features[place]
        values = _UNSEEN if feature.kind == "text" else _WHOLE_CATEGORIES
        points[feature.name] = list(values)
    importance = dict(
        zip(
            (feature.name for feature in features),
            map(float, model.get_feature_importance()),
            strict=True,
        )
    )
    with tempfile.TemporaryDirectory(prefix="tabserve-import-") as scratch:
        path = Path(scratch) / "model.cbm"
        model.save_model(str(path), format="cbm")
        return Boosted(path.read_bytes(), Notes(importance), points, is_single=False)


def _require_own(model: Any, library: str) -> None:
    """Raise Lacking where a subclass, or the object itself, makes the scores."""
    for name in ("predict_proba", "predict"):
        method = getattr(type(model), name, None)
        if method is not None and (
            not method.__module__.startswith(library) or name in vars(model)
        ):
            raise Lacking(f"its class has a {name} of its own")


def _around(values: set[float]) -> list[object]:
    """Thresholds in float32, and the values next to each in float32 and float64."""
    found: set[float] = set()
    for value in sorted(values)[:: max(1, len(values) // (_MOST_POINTS // 5))]:
        single = np.float32(value)
        low = np.nextafter(single, np.float32(-np.inf))
        high = np.nextafter(single, np.float32(np.inf))
        exact = float(single)
        beside = (math.nextafter(exact, -math.inf), math.nextafter(exact, math.inf))
        found |= {exact, float(low), float(high), *beside}
    return [value for value in sorted(found) if math.isfinite(value)]
