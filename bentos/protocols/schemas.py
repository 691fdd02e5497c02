"""A contract as JSON Schema: its rows, its answers, and examples of them. Pure.

The dialect is that of OpenAPI 3.1, JSON Schema 2020-12.
"""

from __future__ import annotations

from bentos.errors import PROBLEMS
from bentos.ids import PATTERN
from bentos.model.contract import INTEGER_LIMITS, Category, Contract, Feature

Schema = dict[str, object]

REFERENCE = "#/components/schemas/{name}"

PREDICTION_ID: Schema = {
    "type": "string",
    "pattern": PATTERN,
    "description": "UUIDv7, in lower case, of the prediction.",
}

_JSON_TYPES: dict[str, Schema] = {
    "float": {"type": "number", "format": "double"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "text": {"type": "string"},
}


def reference(name: str) -> Schema:
    """Refer to a schema of the document by its name."""
    return {"$ref": REFERENCE.format(name=name)}


def responses(
    kinds: tuple[str, ...], schema: str, media_type: str = "application/problem+json"
) -> dict[str, object]:
    """Describe the answers to problems of some kinds (`PROBLEMS`), by status."""
    titles: dict[str, list[str]] = {}
    for kind in kinds:
        status, title = PROBLEMS[kind]
        titles.setdefault(str(int(status)), []).append(title)
    return {
        status: {
            "description": ", or: ".join(title),
            "content": {media_type: {"schema": reference(schema)}},
        }
        for status, title in sorted(titles.items())
    }


def example_row(contract: Contract) -> dict[str, object]:
    """A row that the contract accepts: the middle of each training range, no real person's data."""
    return {
        feature.name: _example(feature) for feature in contract.features if not feature.optional
    }


def _example(feature: Feature) -> object:
    if feature.categories is not None:
        return feature.categories[0]
    if feature.kind == "boolean":
        return True
    if feature.kind == "text":
        return "text"
    profile = feature.profile
    if profile is None or profile.minimum is None or profile.maximum is None:
        return 0 if feature.kind == "integer" else 0.0
    middle = round((profile.minimum + profile.maximum) / 2)
    # A range narrower than one has no whole number in its middle.
    if feature.kind == "float" and not profile.minimum <= middle <= profile.maximum:
        return (profile.minimum + profile.maximum) / 2
    return middle if feature.kind == "integer" else float(middle)


def row(contract: Contract) -> Schema:
    """Describe one row: an object of the contract's features by name."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [feature.name for feature in contract.features if not feature.optional],
        "properties": {feature.name: _property(feature) for feature in contract.features},
    }


def _property(feature: Feature) -> Schema:
    if feature.categories is not None:
        values: list[object] = [*feature.categories]
        schema: Schema = {"enum": [*values, None] if feature.is_nullable else values}
        types = {_json_type(value) for value in feature.categories}
        if len(types) == 1:
            schema["type"] = types.pop()
    else:
        schema = dict(_JSON_TYPES[feature.kind])
    if feature.kind == "integer":
        schema["minimum"], schema["maximum"] = INTEGER_LIMITS[feature.dtype]
    if feature.is_nullable and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    text = [feature.description.rstrip(".") or feature.name]
    profile = feature.profile
    if profile is not None:
        if profile.minimum is not None:
            text.append(f"training range {profile.minimum:g} to {profile.maximum:g}")
        text.append(f"missing in {profile.missing_rate:.2%} of training rows")
    schema["description"] = "; ".join(text) + "."
    return schema


def _json_type(value: Category) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def label(contract: Contract) -> Schema:
    """Describe the label that is decided for: one of the classes."""
    classes = list(contract.classes or ())
    schema: Schema = {"enum": classes}
    types = {_json_type(value) for value in classes}
    if len(types) == 1:
        schema["type"] = types.pop()
    return schema


def result(contract: Contract) -> dict[str, Schema]:
    """Describe the members of an answer that hold what the model says, by task."""
    if contract.task == "multiclass":
        probabilities = {str(one): {"type": "number"} for one in contract.classes or ()}
        scores: Schema = {
            "type": "object",
            "properties": probabilities,
            "description": "Probability by class.",
        }
        return {"scores": scores, "label": label(contract)}
    if contract.task == "binary" and contract.classes is not None:
        meaning = (
            f"Probability of class {contract.classes[1]!r}; the label changes at "
            f"{contract.threshold:g}."
        )
        score: Schema = {"type": "number", "minimum": 0, "maximum": 1, "description": meaning}
        return {"score": score, "label": label(contract)}
    return {"score": {"type": "number", "description": "The predicted value."}}
