"""Rows drawn from a contract: what a client could send, and all that may matter."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.model.contract import Contract, Feature, Profile
from bentos.model.intake.generated import generate
from bentos.model.intake.rows import send
from tests.rows import contract_of

FEATURES = st.one_of(
    st.builds(
        Feature,
        st.just("x"),
        st.just("float"),
        st.sampled_from(["double", "float"]),
        st.booleans(),
        profile=st.none() | st.just(Profile(0.0, -1e300, 1e300)) | st.just(Profile(0.5)),
    ),
    st.builds(
        Feature,
        st.just("x"),
        st.just("integer"),
        st.sampled_from(["long", "integer"]),
        st.booleans(),
    ),
    st.builds(Feature, st.just("x"), st.just("boolean"), st.just("boolean"), st.booleans()),
    st.builds(
        Feature,
        st.just("x"),
        st.just("category"),
        st.just("string"),
        categories=st.sampled_from([("a", "b"), (1, 2), (False, True), (0.5, 1.0)]),
    ),
    st.builds(Feature, st.just("x"), st.just("text"), st.just("string"), st.booleans()),
)
POINTS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4)


@settings(max_examples=60)
@given(features=st.lists(FEATURES, min_size=1, max_size=4), points=POINTS, extreme=st.booleans())
def test_rows_meet_the_contract(
    features: list[Feature], points: list[float], extreme: bool
) -> None:
    """Every row is accepted by the door that clients use; some value is missing where it may be."""
    named = [
        msgspec.structs.replace(feature, name=f"f{place}") for place, feature in enumerate(features)
    ]
    made = contract_of(*named)
    known = {feature.name: ["a", "b"] if feature.kind == "text" else points for feature in named}
    rows = generate(made, known, is_extreme=extreme)
    sent = send(made, rows, "the rows")
    assert sent.kept == list(range(len(rows)))
    for place, feature in enumerate(named):
        missing = {row[place] is None for row in sent.encoded}
        assert missing == ({True, False} if feature.is_nullable else {False})
    assert generate(made, known, is_extreme=extreme) == rows


@pytest.mark.parametrize(("features", "rows"), [(3, 300), (3000, 100), (30_000, 24)])
def test_wide_models_get_fewer_rows(features: int, rows: int) -> None:
    """The number of values is bounded, the number of rows not below two dozen."""
    made: Contract = contract_of(*(Feature(f"f{n}", "boolean", "boolean") for n in range(features)))
    assert len(generate(made, {}, is_extreme=True)) == rows
