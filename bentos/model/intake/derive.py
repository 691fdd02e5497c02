"""MLflow signature + booster + reference sample -> Contract. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from bentos.errors import IntakeError
from bentos.model.bundle import SCORE_PREFIX
from bentos.model.contract import KIND_BY_DTYPE, Category, Feature, Profile

# What a typed decoder cannot name, LightGBM refuses in feature names too.
_UNUSABLE_NAME = re.compile(r'[\x00-\x1f"\\]')


class Trees(msgspec.Struct, frozen=True):
    """What a LightGBM model file says of its inputs.

    `feature_infos`: one a feature, `[low:high]` for numbers, `a:b:c` for categories,
    `none` for a feature that no tree could use. `pandas_categorical`: the categories of
    each category column of the training frame, in column order.
    """

    feature_names: tuple[str, ...]
    feature_infos: tuple[str, ...]
    pandas_categorical: tuple[tuple[Category, ...], ...]


def features_from_signature(columns: Sequence[Mapping[str, object]]) -> list[Feature]:
    """Turn the inputs of an MLflow signature, as plain JSON, into features.

    Raises IntakeError for tensors, unnamed columns and types that JSON cannot carry.
    """
    if not columns:
        raise IntakeError(
            "the model has no input signature: log it again with "
            "signature=mlflow.models.infer_signature(X, model.predict(X))"
        )
    features: list[Feature] = []
    seen: set[str] = set()
    for number, column in enumerate(columns, start=1):
        name, dtype = column.get("name"), column.get("type")
        if dtype == "tensor" or not isinstance(name, str) or not name:
            raise IntakeError(
                f"input {number} of the signature has no column name: log the model with a "
                "signature inferred from a pandas DataFrame, so that features have names"
            )
        if name.startswith(SCORE_PREFIX) or _UNUSABLE_NAME.search(name) or name in seen:
            raise IntakeError(
                f"input {number} of the signature has a name that cannot be served: names must "
                f"be unique, without quotes, backslashes or control characters, and may not "
                f"start with {SCORE_PREFIX}"
            )
        if dtype == "datetime":
            raise IntakeError(
                f"feature '{name}' is a datetime, which has no agreed form in JSON and no "
                "meaning to a tree: train on a number derived from it (days since, hour of day)"
            )
        if not isinstance(dtype, str) or dtype not in KIND_BY_DTYPE:
            raise IntakeError(
                f"feature '{name}' has a type that is not served; served are "
                f"{', '.join(KIND_BY_DTYPE)}"
            )
        seen.add(name)
        features.append(
            Feature(
                name=name,
                kind=KIND_BY_DTYPE[dtype],
                dtype=dtype,
                optional=column.get("required", True) is False,
            )
        )
    return features


def bind_trees(features: Sequence[Feature], trees: Trees) -> list[Feature]:
    """Give each category column its categories, in the order of LightGBM's codes.

    LightGBM binds inputs by position, so the signature must list the features in the
    booster's order; it keeps the categories of category columns without their names, so
    they are bound to the columns that the trees split as categories.
    Raises IntakeError where either cannot be told for sure.
    """
    if len(features) != len(trees.feature_names):
        raise IntakeError(
            f"the signature has {len(features)} inputs, the booster {len(trees.feature_names)}: "
            "log the model with a signature inferred from its training frame"
        )
    names = [re.sub(r"\s", "_", feature.name) for feature in features]
    if names != list(trees.feature_names) and sorted(names) == sorted(trees.feature_names):
        raise IntakeError(
            "the signature lists the features in another order than the booster: every score "
            "would be wrong; infer the signature from the training frame"
        )
    if not trees.pandas_categorical:
        return _without_text(features)
    positions = _category_positions(features, trees)
    bound = list(features)
    for position, categories in zip(positions, trees.pandas_categorical, strict=True):
        if len({*categories}) != len(categories) or not categories:
            raise IntakeError(f"feature '{features[position].name}' has repeated or no categories")
        bound[position] = msgspec.structs.replace(
            features[position], kind="category", categories=categories
        )
    return _without_text(bound)


def _category_positions(features: Sequence[Feature], trees: Trees) -> list[int]:
    certain, possible = [], []
    for position, (feature, info) in enumerate(zip(features, trees.feature_infos, strict=True)):
        if feature.kind == "text" or (info != "none" and not info.startswith("[")):
            certain.append(position)
        elif info == "none":
            possible.append(position)
    for candidates in (certain, sorted(certain + possible)):
        if len(candidates) == len(trees.pandas_categorical):
            return candidates
    raise IntakeError(
        f"the booster has the categories of {len(trees.pandas_categorical)} columns, and "
        f"{len(certain)} inputs could be category columns: train with string categories, so "
        "that the signature shows which they are"
    )


def _without_text(features: Sequence[Feature]) -> list[Feature]:
    for feature in features:
        if feature.kind == "text":
            raise IntakeError(
                f"feature '{feature.name}' is a string without known categories: train on a "
                "pandas 'category' column, so that the booster keeps them"
            )
    return list(features)


def describe(
    features: Sequence[Feature],
    descriptions: Mapping[str, str],
    profiles: Mapping[str, Profile],
) -> tuple[Feature, ...]:
    """Add descriptions and training profiles, by feature name."""
    return tuple(
        msgspec.structs.replace(
            feature,
            description=descriptions.get(feature.name, ""),
            profile=_profile(feature, profiles.get(feature.name)),
        )
        for feature in features
    )


def _profile(feature: Feature, profile: Profile | None) -> Profile | None:
    # Categories that are numbers have no range: the trees see their codes.
    if profile is None or feature.categories is None:
        return profile
    return Profile(profile.missing_rate)
