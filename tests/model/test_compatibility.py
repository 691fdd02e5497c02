"""What breaks a client, and what does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bentos.model.compatibility import Change, compare
from bentos.model.contract import Contract, Feature

OLD = Contract(
    features=(
        Feature("amount", "float", "double"),
        Feature("count", "integer", "integer"),
        Feature("colour", "category", "string", categories=("blue", "red")),
        Feature("bonus", "integer", "long", optional=True),
    ),
    task="binary",
    engine="booster",
    classes=(0, 1),
    threshold=0.4,
)


def with_feature(name: str, **fields: Any) -> Contract:
    """OLD with other fields in one feature."""
    return msgspec.structs.replace(
        OLD,
        features=tuple(
            msgspec.structs.replace(feature, **fields) if feature.name == name else feature
            for feature in OLD.features
        ),
    )


def with_more(feature: Feature) -> Contract:
    """OLD with one more feature."""
    return msgspec.structs.replace(OLD, features=(*OLD.features, feature))


def without(name: str) -> Contract:
    """OLD without a feature."""
    kept = tuple(feature for feature in OLD.features if feature.name != name)
    return msgspec.structs.replace(OLD, features=kept)


BREAKING = {
    "added, required": with_more(Feature("new", "float", "double")),
    "removed": without("amount"),
    "retyped from float (double) to boolean (boolean)": with_feature(
        "amount", kind="boolean", dtype="boolean"
    ),
    "retyped from float (double) to float (float)": with_feature("amount", dtype="float"),
    "retyped from category (string) to integer (long)": with_feature(
        "colour", kind="integer", dtype="long", categories=None
    ),
    'categories removed: ["red"]': with_feature("colour", categories=("blue",)),
    "may no longer be left out": with_feature("bonus", optional=False),
    "no longer accepts null": with_feature("bonus", optional=False),
    "task changed from binary to regression": msgspec.structs.replace(OLD, task="regression"),
    "classes changed from [0,1] to [1,0]": msgspec.structs.replace(OLD, classes=(1, 0)),
    "classes changed from [0,1] to none": msgspec.structs.replace(OLD, classes=None),
}
HARMLESS = {
    "added, optional": with_more(Feature("new", "float", "double", optional=True)),
    "retyped from integer (integer) to integer (long)": with_feature("count", dtype="long"),
    "retyped from integer (integer) to float (double)": with_feature(
        "count", kind="float", dtype="double"
    ),
    'categories added: ["green"]': with_feature("colour", categories=("blue", "red", "green")),
    "may be left out": with_feature("count", optional=True),
    "accepts null": with_feature("count", optional=True),
    "threshold changed from 0.4 to 0.5": msgspec.structs.replace(OLD, threshold=0.5),
}


@pytest.mark.parametrize("what", BREAKING)
def test_breaking(what: str) -> None:
    """A request that worked could now be refused, or an answer not be understood."""
    changes = {change.what: change for change in compare(OLD, BREAKING[what])}
    assert changes[what].is_breaking


@pytest.mark.parametrize("what", HARMLESS)
def test_harmless(what: str) -> None:
    """Every request that worked still works."""
    changes = compare(OLD, HARMLESS[what])
    assert what in [change.what for change in changes]
    assert not any(change.is_breaking for change in changes)


def test_category_becomes_text() -> None:
    """Free text takes every category, but no null: only the null breaks."""
    new = with_feature("colour", kind="text", categories=None)
    assert compare(OLD, new) == [
        Change("colour", "retyped from category (string) to text (string)", False),
        Change("colour", "no longer accepts null", True),
    ]


def test_nothing_changed() -> None:
    """Order, descriptions and the engine are no change."""
    same = msgspec.structs.replace(
        with_feature("amount", description="Money."),
        features=with_feature("amount", description="Money.").features[::-1],
        engine="pyfunc",
    )
    assert compare(OLD, same) == []


def test_places() -> None:
    """A change is told with the feature it is in, or that it is in the answer."""
    new = msgspec.structs.replace(without("amount"), threshold=0.5)
    assert [change.place for change in compare(OLD, new)] == ["amount", "(answer)"]
