"""Features out of signatures and boosters."""

from __future__ import annotations

import pytest

from bentos.errors import IntakeError
from bentos.model.contract import Feature, Profile
from bentos.model.intake.derive import describe, features_from_signature


def column(name: object, kind: str, **more: object) -> dict[str, object]:
    """A column as MLflow's signature gives it."""
    return {"name": name, "type": kind, "required": True, **more}


def test_types() -> None:
    """Each served column type becomes the kind of JSON value that stands for it."""
    columns: list[dict[str, object]] = [
        column("a", "double"),
        column("b", "float"),
        column("c", "long"),
        column("d", "integer"),
        column("e", "boolean"),
        column("f", "string", required=False),
        {"name": "g", "type": "double"},
    ]
    assert features_from_signature(columns) == [
        Feature("a", "float", "double"),
        Feature("b", "float", "float"),
        Feature("c", "integer", "long"),
        Feature("d", "integer", "integer"),
        Feature("e", "boolean", "boolean"),
        Feature("f", "text", "string", optional=True),
        Feature("g", "float", "double"),
    ]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ([], "no input signature: log it again with signature=mlflow.models.infer_signature"),
        ([{"type": "tensor", "tensor-spec": {}}], "no column name"),
        ([column("", "double")], "input 1 .* no column name"),
        ([column(3, "double")], r"input 1 .* a number for its name.*columns.astype\(str\)"),
        ([{"type": "any"}], "neither uint64 nor sparse columns"),
        ([column("a", "any")], "the type of feature 'a': its column was empty"),
        ([column("a", "double"), column("a", "double")], "input 2 .* cannot be served"),
        ([column('a"b', "double")], "cannot be served"),
        ([column("a\\b", "double")], "cannot be served"),
        ([column("a\nb", "double")], "cannot be served"),
        ([column("__score__1", "double")], "may not start with __score__"),
        ([column("opened", "datetime")], "'opened' is a datetime"),
        ([column("raw", "binary")], "'raw' has a type that is not served; served are double,"),
        ([column("nested", "object")], "'nested' has a type that is not served"),
    ],
)
def test_refused(columns: list[dict[str, object]], says: str) -> None:
    """What JSON cannot carry by name is refused, naming the column and what to do."""
    with pytest.raises(IntakeError, match=says):
        features_from_signature(columns)


NUMBER = Feature("n", "float", "double")
CODE = Feature("g", "integer", "long")


def test_describe() -> None:
    """Descriptions and profiles are added by name; what is not known stays empty."""
    described = describe([NUMBER, CODE], {"n": "A number."}, {"g": Profile(0.5)})
    assert [feature.description for feature in described] == ["A number.", ""]
    assert [feature.profile for feature in described] == [None, Profile(0.5)]
