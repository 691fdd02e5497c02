"""Which column has which categories: every way that a booster's text leaves open."""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import IntakeError
from bentos.model.contract import Category, Feature
from bentos.model.intake.binding import MOST_OPTIONS, Trees, bindings, match_names, read_trees

NUMBER = Feature("n", "float", "double")
CODE = Feature("g", "integer", "long")
TEXT = Feature("t", "text", "string")
FLAG = Feature("b", "boolean", "boolean")


def trees(names: str, infos: str, *categories: tuple[Category, ...], listed: str = "") -> Trees:
    """Trees with space-separated names and infos, and the positions of their categories."""
    positions = frozenset(map(int, listed.split()))
    return Trees(tuple(names.split()), tuple(infos.split()), categories, positions)


def options(features: list[Feature], made: Trees) -> list[list[tuple[Category, ...] | None]]:
    """The categories of each feature, for each binding that is open."""
    return [[feature.categories for feature in bound] for bound in bindings(features, made)]


def test_text_columns() -> None:
    """Categories go to the text columns, in column order, even where no tree used them."""
    other = Feature("u", "text", "string")
    made = trees("t n u", "none [0:1] 0:1", ("a", "b"), ("x", "y"))
    assert options([TEXT, NUMBER, other], made) == [[("a", "b"), None, ("x", "y")]]
    assert bindings([TEXT, NUMBER, other], made)[0][0].kind == "category"


def test_split_as_a_category() -> None:
    """A number that the trees split as a category, with codes of the list, may have it."""
    assert options([NUMBER, CODE], trees("n g", "[0:1] 0:1:2", (3, 5, 7))) == [[None, (3, 5, 7)]]


def test_ordered_category() -> None:
    """An ordered category is a number to the trees: whole codes from zero may have the list."""
    assert options([NUMBER, CODE], trees("n g", "[0.5:1] [0:2]", (3, 5, 7))) == [[None, (3, 5, 7)]]


@pytest.mark.parametrize("info", ["0:1:3", "[0:3]", "[-1:2]", "[0:1.5]", "10:20:30:40"])
def test_values_that_are_no_codes(info: str) -> None:
    """A column in which training saw something else than a code of the list cannot have it."""
    listed = Feature("z", "integer", "long")
    made = trees("g z", f"none {info}", (3, 5, 7))
    assert options([CODE, listed], made) == [[(3, 5, 7), None]]
    assert options([listed], trees("z", info, (3, 5, 7))) == []


def test_type_of_the_categories() -> None:
    """A list goes to a column of its own type while there is one."""
    made = trees("n g b", "none none none", (False, True))
    assert options([NUMBER, CODE, FLAG], made) == [[None, None, (False, True)]]
    assert options([NUMBER, CODE], trees("n g", "none none", (1.0, 2.0))) == [[(1.0, 2.0), None]]
    assert options([NUMBER], trees("n", "none", (1, 2))) == [[(1, 2)]]


def test_open() -> None:
    """Where the text leaves it open, every binding is given; the listed columns come first."""
    other = Feature("h", "integer", "long")
    made = trees("g h", "none none", (3, 5, 7), listed="1")
    assert options([CODE, other], made) == [[None, (3, 5, 7)], [(3, 5, 7), None]]


def test_many_options_end() -> None:
    """What is open in more ways than can be told apart is cut off."""
    many = [Feature(f"f{place}", "integer", "long") for place in range(40)]
    names = " ".join(feature.name for feature in many)
    made = trees(names, " ".join(["none"] * 40), *[(1, 2)] * 20)
    assert len(bindings(many, made)) == MOST_OPTIONS + 1


@pytest.mark.parametrize("categories", [("a", "a"), ()])
def test_bad_categories(categories: tuple[str, ...]) -> None:
    """Repeated or no categories are refused."""
    with pytest.raises(IntakeError, match="repeated or no categories"):
        bindings([TEXT], trees("t", "0:1", categories))


def test_text_without_categories() -> None:
    """A text column that the booster has no categories of is refused."""
    with pytest.raises(IntakeError, match="'t' is a string without known categories"):
        bindings([NUMBER, TEXT], trees("n t", "[0:1] [0:1]"))


@st.composite
def frames(draw: st.DrawFn) -> tuple[pd.DataFrame, list[str]]:
    """A training frame of int, bool and text columns, some of them categories, some listed."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    columns: dict[str, object] = {"x": random.normal(size=80)}
    listed = []
    for place in range(draw(st.integers(1, 4))):
        name = f"c{place}"
        values: list[object] = draw(
            st.sampled_from([[0, 1, 2], [1, 2, 3], [10, 20], [False, True], ["a", "b"], [7]])
        )
        drawn = pd.Series([values[i] for i in random.integers(0, len(values), 80)])
        if draw(st.booleans()) or values == ["a", "b"]:
            categories = pd.CategoricalDtype(values, ordered=draw(st.booleans()))
            columns[name] = drawn.astype(categories)
        else:
            columns[name] = drawn
            if isinstance(values[0], int) and draw(st.booleans()):
                listed.append(name)
    return pd.DataFrame(columns), listed


@settings(max_examples=60)
@given(drawn=frames())
def test_true_binding_is_among_the_options(drawn: tuple[pd.DataFrame, list[str]]) -> None:
    """Whatever frame a booster is trained on, its own binding is one of those listed."""
    frame, listed = drawn
    kinds = {"f": NUMBER, "i": CODE, "b": FLAG, "O": TEXT}
    features, expected = [], []
    for name in frame.columns:
        dtype = frame[name].dtype
        is_category = isinstance(dtype, pd.CategoricalDtype)
        values = dtype.categories if isinstance(dtype, pd.CategoricalDtype) else frame[name]
        kind = kinds.get(values.dtype.kind, TEXT)
        features.append(Feature(str(name), kind.kind, kind.dtype))
        expected.append(tuple(values.tolist()) if is_category else None)
    data = lightgbm.Dataset(frame, frame["x"] > 0, categorical_feature=listed or "auto")
    booster = lightgbm.train({"verbose": -1, "objective": "binary", "num_threads": 1}, data, 2)
    made = read_trees(booster.model_to_string())
    assert made.feature_names == tuple(frame.columns)
    assert expected in options(features, made)


def test_categories_of_odd_types() -> None:
    """Categories that JSON has no plain form for are refused."""
    text = 'tree\nfeature_names=a\n\nTree=0\n\nend of trees\n\npandas_categorical:[[["a", 1]]]\n'
    with pytest.raises(IntakeError, match="neither text nor numbers"):
        read_trees(text)


# ---- names


def test_other_number_of_inputs() -> None:
    """Signature and booster must have as many inputs."""
    with pytest.raises(IntakeError, match="has 1 inputs, the booster 2"):
        match_names([NUMBER], trees("n g", "[0:1] [0:1]"))


@pytest.mark.parametrize("names", ["g n", "x n"])
def test_known_name_in_another_place(names: str) -> None:
    """A name that the booster has in another place is refused, also where others are new."""
    with pytest.raises(IntakeError, match="'n' as input 1, the booster as input 2, in another"):
        match_names([NUMBER, CODE], trees(names, "[0:1] [0:1]"))


def test_some_names_agree() -> None:
    """A name that the booster does not know, among others that it knows, is refused."""
    with pytest.raises(IntakeError, match="'g' as input 2, which the booster does not know"):
        match_names([NUMBER, CODE], trees("n x", "[0:1] [0:1]"))


def test_names_that_lightgbm_rewrote() -> None:
    """LightGBM writes white space in names as underscores; a booster trained on arrays has none."""
    spaced = Feature("a b", "float", "double")
    assert match_names([spaced], trees("a_b", "[0:1]")) == []
    assert match_names([spaced], trees("Column_0", "[0:1]")) == []


def test_no_name_in_common() -> None:
    """A signature of other names is bound by order, as MLflow does, with a warning."""
    (warning,) = match_names([NUMBER, CODE], trees("x y", "[0:1] [0:1]"))
    assert "bound by their order" in warning
