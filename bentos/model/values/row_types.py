"""The structs that a typed decoder fills from good JSON rows of one contract. Pure."""

from __future__ import annotations

import enum
import math
from typing import Annotated, Any

import msgspec

from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Category, Contract, Feature

# Stands for a feature that was left out, among rows that become columns: a number that no JSON
# text has, so that numpy finds it.
LEFT_OUT = math.inf

_Fields = list[tuple[str, Any] | tuple[str, Any, Any]]


class Code(float, enum.Enum):
    """A category's code, which a decoder gives for the category's own text.

    It looks the text up in C, and makes no text of it.
    """

    def __new__(cls, category: str, code: float) -> Code:
        made = float.__new__(cls, code)
        made._value_ = category
        return made


def row_type(contract: Contract, *, is_lenient: bool = False) -> type[msgspec.Struct]:
    """Make the struct that a typed decoder fills from one JSON object, by feature name.

    Fields are `f0`, `f1`, ... in contract order, so that any feature name will do. A
    lenient one takes an integer that is written as 3.0 or 3e0, too.
    """
    fields: _Fields = []
    for position, feature in enumerate(contract.features):
        field, annotation = f"f{position}", _annotate(feature, _value_type(feature), is_lenient)
        if feature.optional:
            fields.append((field, annotation | msgspec.UnsetType, msgspec.UNSET))
        else:
            fields.append((field, annotation))
    return _make(contract, fields)


def column_types(contract: Contract) -> list[type[msgspec.Struct]]:
    """Make the structs of rows that become columns: one, and a lenient one where it differs.

    Texts are the last fields. `LEFT_OUT` stands for what was left out, and a category that is
    a text is decoded as its `Code`.
    """
    features = list(enumerate(contract.features))
    ordered = sorted(features, key=lambda one: one[1].kind == "text")
    values = {
        position: _codes(feature.categories) or _value_type(feature)
        for position, feature in features
    }
    is_varied = any(map(_is_integral, contract.features))
    made = []
    for is_lenient in (False, True) if is_varied else (False,):
        fields: _Fields = []
        for position, feature in ordered:
            annotation = _annotate(feature, values[position], is_lenient)
            field: tuple[str, Any] = (f"f{position}", annotation)
            fields.append((*field, LEFT_OUT) if feature.optional else field)
        made.append(_make(contract, fields))
    return made


def _make(contract: Contract, fields: _Fields) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Row",
        fields,
        rename={f"f{position}": name for position, name in enumerate(contract.names)},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )


def _annotate(feature: Feature, annotation: Any, is_lenient: bool) -> Any:
    if is_lenient and _is_integral(feature):
        annotation = annotation | float
    return annotation | None if feature.is_nullable else annotation


def _codes(categories: tuple[Category, ...] | None) -> Any:
    """The type of categories that are texts; None where there are none."""
    texts = [
        (f"c{code}", (category, float(code)))
        for code, category in enumerate(categories or ())
        if isinstance(category, str)
    ]
    # mypy takes the call for a look at a member.
    return Code("Category", texts) if texts else None  # type: ignore[arg-type]


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
