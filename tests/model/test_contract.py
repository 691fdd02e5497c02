"""The contract: its hash, its form on disk, what it says of null."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.model import contract
from bentos.model.compatibility import compare
from bentos.model.contract import Contract, Feature, Profile
from tests.rows import WIDE

BINARY = Contract(
    features=(
        Feature("amount", "float", "double"),
        Feature("colour", "category", "string", categories=("blue", "red")),
    ),
    task="binary",
    engine="booster",
    classes=("good", "bad"),
    threshold=0.4,
    threshold_method="chosen",
)


def changed(position: int, **fields: Any) -> Contract:
    """BINARY with other fields in one feature."""
    features = list(BINARY.features)
    features[position] = msgspec.structs.replace(features[position], **fields)
    return msgspec.structs.replace(BINARY, features=tuple(features))


@pytest.mark.parametrize(
    "other",
    [
        changed(0, name="amounts"),
        changed(0, kind="integer", dtype="long"),
        changed(0, dtype="float"),
        changed(0, optional=True),
        changed(1, categories=("blue",)),
        changed(1, categories=("blue", "red", "green")),
        msgspec.structs.replace(BINARY, features=BINARY.features[:1]),
        msgspec.structs.replace(BINARY, classes=("bad", "good")),
        msgspec.structs.replace(BINARY, classes=None, task="regression"),
    ],
)
def test_hash_changes(other: Contract) -> None:
    """The hash changes with whatever a client can notice."""
    assert other.hash != BINARY.hash


@pytest.mark.parametrize(
    "other",
    [
        changed(0, description="Money."),
        changed(0, profile=Profile(0.5, 1.0, 2.0)),
        changed(1, categories=("red", "blue")),
        msgspec.structs.replace(BINARY, features=BINARY.features[::-1]),
        msgspec.structs.replace(BINARY, engine="pyfunc"),
        msgspec.structs.replace(BINARY, threshold=0.6, threshold_method="other"),
    ],
)
def test_hash_stays(other: Contract) -> None:
    """The hash stays where no client can tell: descriptions, ranges, orders, the threshold."""
    assert other.hash == BINARY.hash


def test_hash_is_known() -> None:
    """The hash of a contract is the same in every release, or every client is alarmed."""
    assert BINARY.hash == "ca56c29f4e32ba93a2e2d81bedddd0d3c7b90bc82ee0a081969a84b1c721955e"


FEATURES = st.builds(
    lambda name, kind, optional, categories, description: Feature(
        name,
        kind[0],
        kind[1],
        optional=optional,
        categories=tuple(categories) if kind[0] == "category" else None,
        description=description,
    ),
    st.sampled_from("abc"),
    st.sampled_from([("float", "double"), ("integer", "long"), ("category", "string")]),
    st.booleans(),
    st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, unique=True),
    st.sampled_from(["", "A sentence."]),
)
CONTRACTS = st.builds(
    lambda features: msgspec.structs.replace(BINARY, features=tuple(features)),
    st.lists(FEATURES, max_size=3, unique_by=lambda feature: feature.name),
)


@given(CONTRACTS, CONTRACTS)
def test_hash_and_diff_agree(old: Contract, new: Contract) -> None:
    """Two contracts have one hash exactly where the diff between them is empty."""
    assert (old.hash == new.hash) == (compare(old, new) == [])


@given(CONTRACTS)
def test_round_trip(made: Contract) -> None:
    """A contract is read back as it was written, and written the same again."""
    written = contract.dump(made)
    assert contract.load(written) == made
    assert contract.dump(contract.load(written)) == written


def test_round_trip_of_categories() -> None:
    """Categories keep their types: 1 is not 1.0, nor true."""
    read = contract.load(contract.dump(WIDE))
    assert read == WIDE
    assert [type(f.categories[0]) for f in read.features if f.categories] == [
        *(str, int, float, bool, str)
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "not a contract"),
        (b"[]", "not a contract"),
        (json.dumps({"features": [], "task": "ranking", "engine": "booster"}).encode(), "not a"),
        (
            json.dumps(
                {"features": [], "task": "binary", "engine": "booster", "schema_version": 99}
            ).encode(),
            "schema version 99.*import the model again",
        ),
    ],
)
def test_load_refuses(data: bytes, says: str) -> None:
    """What is no contract of this version is refused with a ValueError."""
    with pytest.raises(ValueError, match=says):
        contract.load(data)


def test_unknown_members_are_refused() -> None:
    """A contract with a member of a later version is not half understood."""
    document = json.loads(contract.dump(BINARY))
    document["units"] = {}
    with pytest.raises(ValueError, match="not a contract"):
        contract.load(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("kind", "optional", "is_nullable"),
    [
        ("float", False, True),
        ("category", False, True),
        ("integer", False, False),
        ("boolean", False, False),
        ("text", False, False),
        ("integer", True, True),
    ],
)
def test_null(kind: contract.Kind, optional: bool, is_nullable: bool) -> None:
    """Null is a missing float or category; others take it only where they are optional."""
    assert Feature("x", kind, "double", optional=optional).is_nullable is is_nullable


def test_places() -> None:
    """Names and positions follow the order of training."""
    assert BINARY.names == ("amount", "colour")
    assert BINARY.positions == {"amount": 0, "colour": 1}
