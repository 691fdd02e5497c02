"""Contributions are LightGBM's own, and add up to the raw score."""

from __future__ import annotations

from collections.abc import Callable

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bentos.model.contract import Contract, Feature
from bentos.model.explanation.contributions import (
    TOLERANCE,
    Abandoned,
    Contributor,
    NotAdditive,
    check_sum,
)
from bentos.model.explanation.support import find_obstacle, read_trees
from bentos.model.validation import EncodedRow
from tests.model.explanation import kinds

Floats = NDArray[np.float64]

# What turns a raw score into a score, by the unit that the model is said to have.
LINKS: dict[str, Callable[[Floats], Floats]] = {
    "log-odds": lambda raw: 1 / (1 + np.exp(-raw)),
    "log-odds divided by 2": lambda raw: 1 / (1 + np.exp(-2 * raw)),
    "the score itself": lambda raw: raw,
    "logarithm of the score": np.exp,
    "square root of the score, with its sign": lambda raw: np.sign(raw) * raw * raw,
    "logarithm of the probability, up to a constant that all classes share": lambda raw: (
        np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    ),
}


def contributor_of(kind: str) -> Contributor:
    """What explains a kind."""
    return Contributor(kinds.contract_of(kind), kinds.train(kind).model_to_string())


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind(kind: str) -> None:
    """Contributions are those of `predict(pred_contrib=True)` to the last bit, and add up.

    The raw score is what the unit says: its link gives the score. LightGBM gives the parts of a
    random forest as sums over its trees; here they are means, as its score is.
    """
    booster, table = kinds.train(kind), kinds.frame().head(60)
    rows = kinds.encode(table)
    scored = kinds.score(kind, rows, booster)
    explained = contributor_of(kind).explain(rows, scored)
    own = np.asarray(booster.predict(table, pred_contrib=True)).reshape(len(rows), -1, 7)
    raw = np.asarray(booster.predict(table, raw_score=True)).reshape(len(rows), -1)
    if "forest" in kind:
        own, raw = own / booster.current_iteration(), raw / booster.current_iteration()
    for number, parts in enumerate(explained):
        assert np.array_equal(parts.contributions, own[number, :, :-1])
        assert list(parts.bases) == own[number, :, -1].tolist()
        assert list(parts.raw_scores) == raw[number].tolist()
        total = np.sum(parts.contributions, axis=1) + parts.bases
        scale = np.maximum(1.0, np.abs(own[number]).sum(axis=1))
        # A hundred times within what is asked at run time: no rounding comes near it.
        assert (np.abs(total - parts.raw_scores) <= TOLERANCE / 100 * scale).all()
    unit = read_trees(booster.model_to_string()).unit
    scores = np.array([one.scores or (one.score,) for one in scored], dtype=float)
    link = LINKS["log-odds"] if kind == "one against all" else LINKS[unit]
    assert np.allclose(link(raw), scores, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_scores_of_every_size(factor: float) -> None:
    """Values far from one add up as well, relative to what is added up."""
    booster = kinds.train("regression", factor)
    contract = kinds.contract_of("regression")
    rows = kinds.encode(kinds.frame().head(40))
    scored = kinds.score("regression", rows, booster)
    for parts in Contributor(contract, booster.model_to_string()).explain(rows, scored):
        total = sum(parts.contributions[0]) + parts.bases[0]
        assert total == pytest.approx(parts.raw_scores[0], rel=1e-12)


_NUMBERS = st.one_of(
    st.none(),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.sampled_from([0.0, -0.0, 5e-324, 1e300]),
)
_ROWS = st.tuples(
    _NUMBERS,
    st.integers(-(2**31), 2**31),
    st.booleans(),
    st.sampled_from([None, 0.0, 1.0, 2.0]),
    st.sampled_from([None, 0.0, 1.0, 2.0]),
    st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
)


@settings(max_examples=60)
@given(
    rows=st.lists(_ROWS, min_size=1, max_size=12), kind=st.sampled_from(["binary", "multiclass"])
)
def test_any_row_adds_up_alone_as_among_others(rows: list[EncodedRow], kind: str) -> None:
    """Any row is explained, missing values too, and its neighbours change no bit of it."""
    explains = _shared(kind)
    scored = kinds.score(kind, rows, kinds.train(kind))
    together = explains.explain(rows, scored)
    alone = [explains.explain([row], [one])[0] for row, one in zip(rows, scored, strict=True)]
    assert together == alone


_contributors: dict[str, Contributor] = {}


def _shared(kind: str) -> Contributor:
    if kind not in _contributors:
        _contributors[kind] = contributor_of(kind)
    return _contributors[kind]


def test_a_violation_is_found() -> None:
    """A model that does not count the rows of its trees scores as before; no explanation comes."""
    booster = kinds.train("binary")
    rows = kinds.encode(kinds.frame().head(10))
    scored = kinds.score("binary", rows, booster)
    broken = Contributor(kinds.contract_of("binary"), kinds.without_counts(booster))
    with pytest.raises(NotAdditive, match=r"do not add up to the raw score in \d+ rows") as found:
        broken.explain(rows, scored)
    assert found.value.check == "sum"


def test_another_score_is_found() -> None:
    """An explanation of another score than the answered one is refused, be it by one bit."""
    booster = kinds.train("binary")
    rows = kinds.encode(kinds.frame().head(3))
    scored = kinds.score("binary", rows, booster)
    scored[2] = type(scored[2])(float(np.nextafter(scored[2].score or 0.0, 1.0)), None, 1)
    with pytest.raises(NotAdditive, match="another score") as found:
        contributor_of("binary").explain(rows, scored)
    assert found.value.check == "score"


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e-8])
def test_what_does_not_add_up(wrong: float) -> None:
    """NaN, infinity and a small error are violations; rounding of large parts is none."""
    parts = np.array([[[0.25, 0.5, 0.125]]])
    check_sum(parts, np.array([[0.875]]))
    with pytest.raises(NotAdditive):
        check_sum(parts, np.array([[0.875 + wrong]]))
    check_sum(np.array([[[1e9, -1e9, 0.5]]]), np.array([[0.5 + 1e-8]]))


def test_it_stops_where_nobody_waits() -> None:
    """Between some rows and the next it is asked whether anybody waits."""
    rows = kinds.encode(kinds.frame().head(40))
    scored = kinds.score("binary", rows, kinds.train("binary"))
    asked: list[int] = []

    def is_wanted() -> bool:
        asked.append(1)
        return len(asked) < 3

    with pytest.raises(Abandoned):
        contributor_of("binary").explain(rows, scored, is_wanted)
    assert len(asked) == 3


def test_what_cannot_be_explained() -> None:
    """Linear leaves and models that LightGBM does not score are named, with the reason."""
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(300, 3)), columns=list("abc"))
    linear = lightgbm.train(
        {"objective": "regression", "linear_tree": True, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(table, table.sum(axis=1)),
        5,
    )
    assert "linear leaves" in str(find_obstacle("booster", linear.model_to_string()))
    assert "not scored by LightGBM's trees" in str(find_obstacle("pyfunc", None))
    assert find_obstacle("booster", kinds.train("dart").model_to_string()) is None
    with pytest.raises(lightgbm.basic.LightGBMError):
        linear.predict(table, pred_contrib=True)


def test_a_column_of_float32() -> None:
    """A float32 column is rounded before it is explained, as it is before it is scored."""
    contract = Contract((Feature("x", "float", "float"),), "regression", "booster")
    values = np.linspace(0, 1, 400).astype(np.float32)
    text = lightgbm.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(values.reshape(-1, 1), np.sin(9 * values)),
        20,
    ).model_to_string()
    explains = Contributor(contract, text)
    assert explains.frame([(0.1,)])[0, 0] == np.float32(0.1)
