"""Which column has which categories: every way that a booster's text leaves open. Pure.

LightGBM binds inputs by position. Its text keeps the categories of pandas' category
columns in column order, without the columns' names. This module lists the assignments
that the text and the signature allow; `choice.py` decides between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from bentos.errors import IntakeError
from bentos.model.contract import Category, Feature

# More assignments than this are not told apart: the model is refused.
MOST_OPTIONS = 64

_AUTOMATIC = re.compile(r"Column_\d+")


class Trees(msgspec.Struct, frozen=True):
    """What a LightGBM model file says of its inputs.

    `feature_infos`: one a feature, `[low:high]` for numbers, `a:b:c` for categories,
    `none` for a feature that no tree could use. `pandas_categorical`: the categories of
    each category column of the training frame, in column order. `categorical`: positions
    of the inputs that training treated as categories, as far as the text says.
    """

    feature_names: tuple[str, ...]
    feature_infos: tuple[str, ...]
    pandas_categorical: tuple[tuple[Category, ...], ...] = ()
    categorical: frozenset[int] = frozenset()


def read_trees(model_text: str) -> Trees:
    """Read the inputs of a model from its text. Raises IntakeError for categories of odd types."""
    head = dict(
        line.split("=", 1)
        for line in model_text.partition("\nTree=")[0].splitlines()
        if "=" in line
    )
    tail = model_text.rpartition("\nend of trees")[2]
    listed = re.search(r"^\[categorical_feature: ([\d,]+)\]$", tail, re.MULTILINE)
    kept = re.search(r"^pandas_categorical:(.+)$", tail, re.MULTILINE)
    lists = json.loads(kept.group(1)) if kept else None
    for categories in lists or ():
        if any(not isinstance(value, Category) for value in categories):
            raise IntakeError(
                "the booster has categories that are neither text nor numbers nor booleans: "
                "train with string categories"
            )
    return Trees(
        feature_names=tuple(head.get("feature_names", "").split(" ")),
        feature_infos=tuple(head.get("feature_infos", "").split(" ")),
        pandas_categorical=tuple(map(tuple, lists or ())),
        categorical=frozenset(map(int, listed.group(1).split(","))) if listed else frozenset(),
    )


def match_names(features: Sequence[Feature], trees: Trees) -> list[str]:
    """Check the signature's names against the booster's; give a warning for each renamed input.

    Raises IntakeError where the signature contradicts the booster: another number of
    inputs, a name that the booster has in another place, or names of which some agree and
    some do not.
    """
    if len(features) != len(trees.feature_names):
        raise IntakeError(
            f"the signature has {len(features)} inputs, the booster {len(trees.feature_names)}: "
            "log the model with a signature inferred from its training frame"
        )
    # LightGBM writes white space in names as underscores.
    names = [re.sub(r"\s", "_", feature.name) for feature in features]
    known = [re.sub(r"\s", "_", name) for name in trees.feature_names]
    places = {name: position for position, name in enumerate(known)}
    other: list[int] = []
    for position, name in enumerate(names):
        if name == known[position]:
            continue
        if name in places:
            raise IntakeError(
                f"the signature has '{features[position].name}' as input {position + 1}, the "
                f"booster as input {places[name] + 1}, in another order: every score would be "
                "wrong; infer the signature from the training frame"
            )
        other.append(position)
    if not other or all(_AUTOMATIC.fullmatch(name) for name in trees.feature_names):
        return []
    if len(other) < len(names):
        raise IntakeError(
            f"the signature has '{features[other[0]].name}' as input {other[0] + 1}, which the "
            "booster does not know, though it knows others by name: infer the signature from "
            "the training frame"
        )
    return [
        "the signature and the booster have no name in common: inputs are bound by their order, "
        "as MLflow does"
    ]


def bindings(features: Sequence[Feature], trees: Trees) -> list[list[Feature]]:
    """List every assignment of category lists to columns that text and signature allow.

    The likeliest comes first: the one in which every column that the trees split as a
    category has a list. At most MOST_OPTIONS + 1 are given; none where nothing fits.
    Raises IntakeError for repeated or empty categories, and for text columns without any.
    """
    lists = trees.pandas_categorical
    for categories in lists:
        if len({*categories}) != len(categories) or not categories:
            raise IntakeError("a category column of the booster has repeated or no categories")
    text = [feature.name for feature in features if feature.kind == "text"]
    if text and not lists:
        raise IntakeError(
            f"feature '{text[0]}' is a string without known categories: train on a "
            "pandas 'category' column, so that the booster keeps them"
        )
    for is_strict in (True, False):
        found = list(islice(_assignments(features, trees, is_strict), MOST_OPTIONS + 1))
        if found:
            found.sort(key=lambda columns: not trees.categorical <= {*columns})
            return [bind(features, trees, columns) for columns in found]
    return []


def bind(features: Sequence[Feature], trees: Trees, columns: Sequence[int]) -> list[Feature]:
    """Give the columns at these positions the booster's category lists, in order."""
    bound = list(features)
    for position, categories in zip(columns, trees.pandas_categorical, strict=True):
        bound[position] = msgspec.structs.replace(
            features[position], kind="category", categories=categories
        )
    return bound


def _assignments(
    features: Sequence[Feature], trees: Trees, is_strict: bool
) -> Iterator[tuple[int, ...]]:
    lists = trees.pandas_categorical
    codes = [_largest_code(info) for info in trees.feature_infos]
    fits = [
        {
            position
            for position, feature in enumerate(features)
            if codes[position] < len(categories) and _has_type(feature, categories, is_strict)
        }
        for categories in lists
    ]
    required = [feature.kind == "text" for feature in features]
    columns = [p for p in range(len(features)) if required[p] or any(p in fit for fit in fits)]
    # possible[k][j]: lists from k on can be placed on columns from j on.
    possible = [[False] * (len(columns) + 1) for _ in range(len(lists) + 1)]
    possible[len(lists)][len(columns)] = True
    for j in range(len(columns) - 1, -1, -1):
        for k in range(len(lists), -1, -1):
            takes = k < len(lists) and columns[j] in fits[k] and possible[k + 1][j + 1]
            possible[k][j] = takes or (not required[columns[j]] and possible[k][j + 1])
    pending: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    while pending:
        k, j, chosen = pending.pop()
        if not possible[k][j]:
            continue
        if j == len(columns):
            yield chosen
            continue
        if not required[columns[j]]:
            pending.append((k, j + 1, chosen))
        if k < len(lists) and columns[j] in fits[k]:
            pending.append((k + 1, j + 1, (*chosen, columns[j])))


def _largest_code(info: str) -> float:
    """The largest code that training saw, where the column may hold codes; else infinity."""
    if info == "none":
        return -1
    if info.startswith("["):
        low, _, high = info.strip("[]").partition(":")
        is_code = float(low).is_integer() and float(high).is_integer() and float(low) >= 0
        return float(high) if is_code else float("inf")
    # -1 stands for a missing value here.
    return max(map(float, info.split(":")))


def _has_type(feature: Feature, categories: Sequence[Category], is_strict: bool) -> bool:
    types = {type(value) for value in categories}
    if feature.kind == "text":
        return str in types or not is_strict
    if types == {bool}:
        return feature.kind == "boolean"
    if types == {int}:
        return feature.kind == "integer" or (feature.kind == "float" and not is_strict)
    if types <= {int, float}:
        return feature.kind == "float" or (feature.kind == "integer" and not is_strict)
    return False
