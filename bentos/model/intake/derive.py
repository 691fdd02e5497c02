"""MLflow signature, descriptions and training profiles -> features. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from bentos.errors import IntakeError
from bentos.model.bundle import SCORE_PREFIX
from bentos.model.contract import KIND_BY_DTYPE, Feature, Profile

# What a typed decoder cannot name, LightGBM refuses in feature names too.
_UNUSABLE_NAME = re.compile(r'[\x00-\x1f"\\]')


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
        if isinstance(name, int):
            raise IntakeError(
                f"input {number} of the signature has a number for its name: rename the columns "
                "of the training frame to text (X.columns = X.columns.astype(str)), train and log "
                "again"
            )
        if dtype == "any" and not name:
            raise IntakeError(
                "MLflow could not tell the column types of the frame that the signature was "
                "inferred from: it knows neither uint64 nor sparse columns nor mixed types; "
                "convert them (int64, float64, X.sparse.to_dense()) and infer the signature again"
            )
        if dtype == "any":
            raise IntakeError(
                f"MLflow could not tell the type of feature '{name}': its column was empty, or of "
                "mixed types; infer the signature from rows that have values in it"
            )
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
