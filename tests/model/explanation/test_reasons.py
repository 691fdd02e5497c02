"""Which reasons a refused row gets, and what a file of reasons may say."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from bentos.errors import IntakeError
from bentos.model.contract import Contract, Feature
from bentos.model.explanation import reasons
from bentos.model.explanation.contributions import Contributor, Parts
from bentos.model.explanation.explainer import Explainer
from bentos.model.explanation.reasons import Reasoner, ReasonsFile
from bentos.model.scoring import Scored
from tests.model.explanation import kinds

FEATURES = tuple(Feature(name, "float", "double") for name in "abcde")
BINARY = Contract(FEATURES, "binary", "booster", (0, 1), threshold=0.5)
NUMBER = Contract(FEATURES, "regression", "booster")
SEVERAL = Contract(FEATURES, "multiclass", "booster", ("no", "yes", "ask"))


def document(**changes: object) -> dict[str, Any]:
    """A good file for five features, three reasons."""
    made: dict[str, Any] = {
        "refusal": {"class": 1},
        "reasons": [
            {"code": "R1", "sentence": "First.", "features": ["a", "b"]},
            {"code": "R2", "sentence": "Second.", "features": ["c"]},
            {"code": "R3", "sentence": "Third.", "features": ["d", "e"], "protected": True},
        ],
    }
    return {**made, **changes}


def file(**changes: object) -> ReasonsFile:
    """The same, read."""
    return reasons.parse(yaml.safe_dump(document(**changes)).encode())


def parts(*contributions: float) -> Parts:
    """Parts of one raw score."""
    return Parts((0.0,), (sum(contributions),), (contributions,))


def codes(reasoner: Reasoner, found: Parts) -> list[str]:
    """The codes that a row gets."""
    return [one.code for one in reasoner.rank(found)]


# ---- the rule


def test_features_of_one_reason_are_added_up_before_they_are_ranked() -> None:
    """A reason counts with the sum of its features, also where they speak against each other."""
    reasoner = Reasoner(file(), BINARY, is_softmax=False)
    given = reasoner.rank(parts(3.0, -2.5, 0.75, 0.5, 0.5))
    assert [(one.code, one.contribution) for one in given] == [
        ("R3", 1.0),
        ("R2", 0.75),
        ("R1", 0.5),
    ]
    assert [one.protected for one in given] == [True, False, False]
    assert given[0].reason == "Third."


def test_what_speaks_against_a_refusal_is_no_reason() -> None:
    """Only what pushes towards refusal is given, and at most as many as the file says."""
    reasoner = Reasoner(file(), BINARY, is_softmax=False)
    assert codes(reasoner, parts(1.0, 0.0, -3.0, 0.0, 0.0)) == ["R1"]
    one = Reasoner(file(most=1), BINARY, is_softmax=False)
    assert codes(one, parts(1.0, 1.0, 1.5, 0.0, 0.0)) == ["R1"]


def test_no_refusal_goes_without_a_reason() -> None:
    """Where the base alone refuses, the reason is what speaks least against the refusal."""
    reasoner = Reasoner(file(), BINARY, is_softmax=False)
    assert codes(reasoner, parts(-1.0, 0.0, -0.5, -2.0, 0.0)) == ["R2"]


def test_what_hardly_pushes_is_no_principal_reason() -> None:
    """`least_share` leaves out what pushes little beside the strongest."""
    reasoner = Reasoner(file(least_share=0.1), BINARY, is_softmax=False)
    assert codes(reasoner, parts(1.0, 0.0, 0.09, 0.1, 0.0)) == ["R1", "R3"]


def test_of_equals_the_first_in_the_file() -> None:
    """Equal pushes keep the order of the file."""
    reasoner = Reasoner(file(), BINARY, is_softmax=False)
    assert codes(reasoner, parts(0.5, 0.5, 1.0, 0.5, 0.5)) == ["R1", "R2", "R3"]


@pytest.mark.parametrize(
    ("contract", "refusal", "refused", "accepted", "sign"),
    [
        (BINARY, {"class": 1}, Scored(0.9, None, 1), Scored(0.1, None, 0), 1),
        (BINARY, {"class": 0}, Scored(0.1, None, 0), Scored(0.9, None, 1), -1),
        (NUMBER, {"above": 10.0}, Scored(10.5), Scored(10.0), 1),
        (NUMBER, {"below": 10}, Scored(9.5), Scored(10.0), -1),
    ],
)
def test_direction(
    contract: Contract, refusal: dict[str, Any], refused: Scored, accepted: Scored, sign: int
) -> None:
    """The file says which way refusal lies: a class, or a bound of a regression."""
    reasoner = Reasoner(file(refusal=refusal), contract, is_softmax=False)
    assert reasoner.is_refused(refused)
    assert not reasoner.is_refused(accepted)
    assert codes(reasoner, parts(0.0, 0.0, float(sign), 0.0, 0.0)) == ["R2"]


def test_of_several_classes() -> None:
    """Of several classes what counts is the refused one, against the mean of all by softmax."""
    found = Parts((0.0,) * 3, (0.0,) * 3, ((0, 0, 9, 0, 0), (1, 0, 9, 0, 0), (0, 0, 9, 0, 0)))
    refusal = {"class": "yes"}
    softmax = Reasoner(file(refusal=refusal), SEVERAL, is_softmax=True)
    assert codes(softmax, found) == ["R1"]
    apart = Reasoner(file(refusal=refusal), SEVERAL, is_softmax=False)
    assert codes(apart, found) == ["R2", "R1"]
    assert softmax.is_refused(Scored(None, (0.1, 0.8, 0.1), "yes"))
    assert not softmax.is_refused(Scored(None, (0.8, 0.1, 0.1), "no"))


def test_the_order_of_features_changes_nothing() -> None:
    """The same contributions in another order of features, or of the file, give the same bits."""
    values = dict(zip("abcde", (0.1, 0.2, 0.3, 1e16, -1e16 + 4), strict=True))
    expected = None
    for order in itertools.permutations("abcde"):
        contract = Contract(
            tuple(Feature(name, "float", "double") for name in order), "binary", "booster", (0, 1)
        )
        shuffled = document()
        for entry in shuffled["reasons"]:
            random.Random("".join(order)).shuffle(entry["features"])  # noqa: S311 - any order
        known = reasons.parse(yaml.safe_dump(shuffled).encode())
        given = Reasoner(known, contract, is_softmax=False).rank(parts(*map(values.get, order)))  # type: ignore[arg-type]  # all are there
        found = [(one.code, one.contribution) for one in given]
        expected = expected or found
        assert found == expected


def test_reasons_of_a_model_do_not_depend_on_the_order_of_its_columns() -> None:
    """Reasons of real rows are the same under every order in which the contract names features."""
    rows = kinds.encode(kinds.frame().head(50))
    booster = kinds.train("binary")
    scored = kinds.score("binary", rows, booster)
    names = [feature.name for feature in kinds.FEATURES]
    known = ReasonsFile(
        reasons.Refusal(label=1),
        tuple(reasons.Reason(f"R{place}", "Because.", (name,)) for place, name in enumerate(names)),
    )
    contract = kinds.contract_of("binary")
    found = Contributor(contract, booster.model_to_string()).explain(rows, scored)
    order = list(reversed(range(len(names))))
    turned = Contract(
        tuple(kinds.FEATURES[place] for place in order), "binary", "booster", (0, 1), 0.5
    )
    for one in found:
        moved = msgspec.structs.replace(
            one, contributions=(tuple(one.contributions[0][place] for place in order),)
        )
        straight = Reasoner(known, contract, is_softmax=False).rank(one)
        assert Reasoner(known, turned, is_softmax=False).rank(moved) == straight


def test_who_gets_reasons() -> None:
    """Refused rows get reasons, others none unless asked for, and none come without a file."""
    rows = kinds.encode(kinds.frame().head(60))
    booster = kinds.train("binary")
    scored = kinds.score("binary", rows, booster)
    contract, read_text = kinds.contract_of("binary"), booster.model_to_string
    known = ReasonsFile(
        reasons.Refusal(label=1),
        tuple(
            reasons.Reason(feature.name.upper(), "Because.", (feature.name,))
            for feature in kinds.FEATURES
        ),
    )
    explained = Explainer(contract, read_text, known).explain(rows, scored)
    assert {one.label for one in scored} == {0, 1}
    for one, explanation in zip(scored, explained, strict=True):
        assert explanation.reasons is not None
        assert bool(explanation.reasons) == (one.label == 1)
        assert len(explanation.reasons) <= 4
    always = Explainer(contract, read_text, known).explain(rows, scored, has_all_reasons=True)
    assert all(one.reasons for one in always)
    assert [one.reasons for one in Explainer(contract, read_text, None).explain(rows, scored)] == [
        None
    ] * len(rows)
    assert np.all([one.parts == other.parts for one, other in zip(explained, always, strict=True)])


# ---- the file


def test_required_features_are_named() -> None:
    """A feature without a reason is named where reasons are required, by the file or the caller."""
    short = document()["reasons"][:2]
    assert reasons.check(file(reasons=short), BINARY) == ["d", "e"]
    with pytest.raises(IntakeError, match="no reason for the features d, e"):
        reasons.check(file(reasons=short, required=True), BINARY)
    with pytest.raises(IntakeError, match="no reason for the features d, e"):
        reasons.check(file(reasons=short), BINARY, is_required=True)
    assert reasons.check(file(required=True), BINARY, is_required=True) == []


@pytest.mark.parametrize(
    ("contract", "changes", "says"),
    [
        (BINARY, {"refusal": {"class": "1"}}, "none of the model's classes, or of another type"),
        (BINARY, {"refusal": {"class": True}}, "none of the model's classes, or of another type"),
        (BINARY, {"refusal": {}}, "exactly one of class, above, below"),
        (BINARY, {"refusal": {"above": 1.0, "below": 0.0}}, "exactly one of"),
        (BINARY, {"refusal": {"above": 0.5}}, "none of the model's classes"),
        (NUMBER, {"refusal": {"class": 1}}, "a regression has no classes"),
        (NUMBER, {"refusal": {"above": float("nan")}}, "a finite number"),
        (BINARY, {"reasons": [{"code": "R", "sentence": "S.", "features": ["zz"]}]}, "feature zz,"),
    ],
)
def test_a_file_that_does_not_fit(contract: Contract, changes: dict[str, Any], says: str) -> None:
    """A file that does not fit its model is refused with the place."""
    with pytest.raises(IntakeError, match=says):
        reasons.check(file(**changes), contract)


def reason(**changes: object) -> list[dict[str, object]]:
    """One reason, changed."""
    return [{"code": "R1", "sentence": "First.", "features": ["a"], **changes}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, "another version"),
        ({"most": 0}, "most is a number from 1 to 8"),
        ({"least_share": 1.0}, "least_share is at least 0 and below 1"),
        ({"reasons": reason(code="no spaces")}, "reason 1: a code has"),
        ({"reasons": reason() * 2}, "reason 2: the code R1 is there twice"),
        ({"reasons": reason(sentence="  ")}, "a sentence has 1 to 300"),
        ({"reasons": reason(features=[])}, "R1 has no features"),
        ({"reasons": reason(features=["a", "a"])}, "a feature of R1 has a reason already"),
        ({"reasons": [*reason(), *reason(code="R2")]}, "a feature of R2 has a reason already"),
        ({"reasons": reason(sentense="x")}, "unknown field `sentense`"),
        ({"reasons": "none"}, "cannot be read"),
        ({"refusals": {}}, "unknown field"),
    ],
)
def test_a_file_that_is_wrong(changes: dict[str, Any], says: str) -> None:
    """What is wrong with a file is one line that names the place."""
    with pytest.raises(IntakeError, match=says) as refused:
        file(**changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", [b"{", b"\xff\xfe\x00", b"- 1", b"", b"!!python/object:os.system x"]
)
def test_what_is_no_file_of_reasons(text: bytes) -> None:
    """Anything else is refused in one line, and runs nothing."""
    with pytest.raises(IntakeError) as refused:
        reasons.parse(text)
    assert "\n" not in str(refused.value)
