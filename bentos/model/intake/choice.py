"""Which of the possible category bindings is the model's: decided by evidence, or refused.

A binding is taken where the booster's text leaves no other, where a logged frame shows
the category columns, where logged scores fit it alone, or where logged values exclude
all others. What is still open does not matter if the model scores alike either way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.errors import IntakeError
from bentos.model import golden
from bentos.model.contract import Feature
from bentos.model.engines.lightgbm import NativeBooster
from bentos.model.intake.binding import MOST_OPTIONS, Trees, bind, bindings
from bentos.model.intake.evidence import Evidence
from bentos.model.intake.generated import Row

Binding = list[Feature]

_SEED = 20143
_PROBES = 400

_HOW_TO_TELL = (
    "log golden.parquet or reference.parquet, written by bentos.model.bundle from the training "
    "frame, or train with string categories"
)


def choose_binding(
    features: Sequence[Feature], trees: Trees, model_text: str, evidence: Evidence
) -> Binding:
    """Give the features their categories. Raises IntakeError where it stays open which is right."""
    options = bindings(features, trees)
    if not options:
        raise IntakeError(
            f"the booster has the categories of {len(trees.pandas_categorical)} columns, and the "
            "signature has no columns that they fit: infer the signature from the training frame"
        )
    if not trees.pandas_categorical:
        return options[0]
    for frame in evidence.frames:
        shown = _shown(features, trees, frame)
        if shown is not None:
            if len(options) <= MOST_OPTIONS and shown not in options:
                raise IntakeError(
                    "the category columns of the logged rows are not those of the booster: log "
                    "rows of the frame that the model was trained on"
                )
            return shown
    if len(options) == 1:
        return options[0]
    if len(options) <= MOST_OPTIONS:
        booster = NativeBooster(model_text)
        options = _that_score(options, booster, evidence)
        options = _that_hold(options, trees, evidence.rows) or options
        if _are_alike(options, trees, booster):
            return options[0]
    raise IntakeError(
        f"the booster has the categories of {len(trees.pandas_categorical)} columns without their "
        f"names, and several columns could have them: {_HOW_TO_TELL}"
    )


def _shown(features: Sequence[Feature], trees: Trees, frame: pd.DataFrame) -> Binding | None:
    """The binding that a frame shows, if it kept pandas' category columns."""
    columns = [
        position
        for position, feature in enumerate(features)
        if feature.name in frame.columns
        and isinstance(frame[feature.name].dtype, pd.CategoricalDtype)
    ]
    lists = [tuple(frame[features[p].name].cat.categories.tolist()) for p in columns]
    if lists != list(trees.pandas_categorical):
        return None
    return bind(features, trees, columns)


def _that_score(
    options: list[Binding], booster: NativeBooster, evidence: Evidence
) -> list[Binding]:
    if evidence.golden is None:
        return options
    rows, expected = evidence.golden_rows, evidence.golden[1]
    fitting = []
    for option in options:
        scores = booster.predict(_matrix(option, rows)).reshape(len(rows), -1)
        if scores.shape == expected.shape and golden.are_close(scores, expected).all():
            fitting.append(option)
    if not fitting:
        raise IntakeError(
            "the booster gives the scores of golden.parquet with none of the columns that its "
            "categories could belong to: log golden rows with the scores of this very model"
        )
    return fitting


def _that_hold(options: list[Binding], trees: Trees, rows: Sequence[Row]) -> list[Binding]:
    """Keep the options under which logged rows have known categories, and numbers in range."""
    return [
        option
        for option in options
        if all(
            _holds(feature, info, row.get(feature.name))
            for feature, info in zip(option, trees.feature_infos, strict=True)
            for row in rows
        )
    ]


def _holds(feature: Feature, info: str, value: object) -> bool:
    if value is None:
        return True
    if feature.categories is not None:
        return value in feature.categories
    if not info.startswith("[") or not isinstance(value, int | float):
        return True
    low, _, high = info.strip("[]").partition(":")
    return float(low) <= value <= float(high)


def _are_alike(options: list[Binding], trees: Trees, booster: NativeBooster) -> bool:
    """Score the same rows under every option: whether all give the same scores."""
    random = np.random.default_rng(_SEED)
    pools = []
    for place, info in enumerate(trees.feature_infos):
        pool: list[object] = [None, 0, 1]
        for option in options:
            pool += option[place].categories or ()
        if info.startswith("["):
            pool += [float(edge) for edge in info.strip("[]").split(":")]
        pool += range(max(map(len, trees.pandas_categorical)))
        pools.append(pool)
    rows = [
        {
            feature.name: pool[random.integers(0, len(pool))]
            for feature, pool in zip(options[0], pools, strict=True)
        }
        for _ in range(_PROBES)
    ]
    first, *others = [booster.predict(_matrix(option, rows)) for option in options]
    return all(np.array_equal(first, scores, equal_nan=True) for scores in others)


def _matrix(option: Binding, rows: Sequence[Row]) -> NDArray[np.float64]:
    matrix = np.full((len(rows), len(option)), np.nan)
    for column, feature in enumerate(option):
        codes: dict[object, int] = {
            value: code for code, value in enumerate(feature.categories or ())
        }
        for place, row in enumerate(rows):
            value = row[feature.name]
            if feature.categories is not None:
                matrix[place, column] = codes.get(value, np.nan)
            elif isinstance(value, int | float):
                matrix[place, column] = value
    return matrix
