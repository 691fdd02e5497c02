"""Features out of signatures and boosters."""

from __future__ import annotations

import pytest

from bentos.errors import IntakeError
from bentos.model.contract import Feature, Profile
from bentos.model.intake.derive import Trees, bind_trees, describe, features_from_signature


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
        ([column(3, "double")], "no column name"),
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
TEXT = Feature("t", "text", "string")


def trees(names: str, infos: str, *categories: tuple[str | int, ...]) -> Trees:
    """Trees with space-separated names and infos."""
    return Trees(tuple(names.split()), tuple(infos.split()), categories)


def test_categories_of_text_columns() -> None:
    """Categories go to the text columns, in column order, even where no tree used them."""
    other = Feature("u", "text", "string")
    bound = bind_trees(
        [TEXT, NUMBER, other], trees("t n u", "none [0:1] 0:1", ("a", "b"), ("x", "y"))
    )
    assert [feature.categories for feature in bound] == [("a", "b"), None, ("x", "y")]
    assert [feature.kind for feature in bound] == ["category", "float", "category"]


def test_categories_of_integer_columns() -> None:
    """A number that the trees split as a category is a category."""
    bound = bind_trees([NUMBER, CODE], trees("n g", "[0:1] 0:1:2", (3, 5, 7)))
    assert (bound[1].kind, bound[1].dtype, bound[1].categories) == ("category", "long", (3, 5, 7))


def test_unused_category() -> None:
    """A number that no tree used is a category if the count of category lists leaves no choice."""
    bound = bind_trees([NUMBER, CODE], trees("n g", "[0:1] none", (3, 5, 7)))
    assert bound[1].categories == (3, 5, 7)


def test_ambiguous_categories() -> None:
    """Where the lists could belong to several columns, nothing is guessed."""
    other = Feature("h", "integer", "long")
    with pytest.raises(IntakeError, match="train with string categories"):
        bind_trees([CODE, other], trees("g h", "none none", (3, 5, 7)))


@pytest.mark.parametrize("categories", [("a", "a"), ()])
def test_bad_categories(categories: tuple[str, ...]) -> None:
    """Repeated or no categories are refused."""
    with pytest.raises(IntakeError, match="'t' has repeated or no categories"):
        bind_trees([TEXT], trees("t", "0:1", categories))


def test_text_without_categories() -> None:
    """A text column that the booster has no categories of is refused."""
    with pytest.raises(IntakeError, match="'t' is a string without known categories"):
        bind_trees([NUMBER, TEXT], trees("n t", "[0:1] [0:1]"))


def test_other_number_of_inputs() -> None:
    """Signature and booster must have as many inputs."""
    with pytest.raises(IntakeError, match="has 1 inputs, the booster 2"):
        bind_trees([NUMBER], trees("n g", "[0:1] [0:1]"))


def test_other_order() -> None:
    """A signature in another order than the booster is refused: every score would be wrong."""
    with pytest.raises(IntakeError, match="another order"):
        bind_trees([NUMBER, CODE], trees("g n", "[0:1] [0:1]"))


def test_names_that_lightgbm_rewrote() -> None:
    """LightGBM writes white space in names as underscores; a booster trained on arrays has none."""
    spaced = Feature("a b", "float", "double")
    assert bind_trees([spaced], trees("a_b", "[0:1]")) == [spaced]
    assert bind_trees([spaced], trees("Column_0", "[0:1]")) == [spaced]


def test_describe() -> None:
    """Descriptions and profiles are added by name; what is not known stays empty."""
    described = describe([NUMBER, CODE], {"n": "A number."}, {"g": Profile(0.5)})
    assert [feature.description for feature in described] == ["A number.", ""]
    assert [feature.profile for feature in described] == [None, Profile(0.5)]
