"""The structs that a typed decoder fills from good JSON rows of one contract. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Contract, Feature


def row_type(contract: Contract, *, is_lenient: bool = False) -> type[msgspec.Struct]:
    """Make the struct that a typed decoder fills from one JSON object, by feature name.

    Fields are `f0`, `f1`, ... in contract order, so that any feature name will do. A
    lenient one takes an integer that is written as 3.0 or 3e0, too.
    """
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    renamed: dict[str, str] = {}
    for position, feature in enumerate(contract.features):
        field = f"f{position}"
        renamed[field] = feature.name
        annotation = _value_type(feature)
        if is_lenient and _is_integral(feature):
            annotation = annotation | float
        if feature.is_nullable:
            annotation = annotation | None
        if feature.optional:
            fields.append((field, annotation | msgspec.UnsetType, msgspec.UNSET))
        else:
            fields.append((field, annotation))
    return msgspec.defstruct(
        "Row",
        fields,
        rename=renamed,
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )


def _value_type(feature: Feature) -> Any:
    if feature.kind == "float":
        if feature.dtype == "float":
            return Annotated[float, msgspec.Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
        return float
    if feature.kind == "integer":
        low, high = INTEGER_LIMITS[feature.dtype]
        return Annotated[int, msgspec.Meta(ge=low, le=high)]
    if feature.kind == "boolean":
        return bool
    if feature.kind == "category":
        types = {type(category) for category in feature.categories or ()}
        # A mixture of types would need a union that JSON cannot tell apart: `encode`
        # refuses what it does not know, and the slow way decides.
        return types.pop() if len(types) == 1 else str
    return str


def _is_integral(feature: Feature) -> bool:
    if feature.kind == "category":
        return {type(category) for category in feature.categories or ()} == {int}
    return feature.kind == "integer"
