"""Outcomes are told by the form and by the classes, and nothing of them is repeated."""

from __future__ import annotations

import json

import pytest

from bentos.errors import Problem
from bentos.model.contract import Category, Contract, Feature
from bentos.model.json_rows import parse
from bentos.model.validation import JsonObject
from bentos.protocols.feedback import SubmittedOutcome, read, write
from tests.rows import contract_of

ID = "01980000-0000-7000-8000-00000000000a"
FEATURE = Feature("x", "float", "double")
REGRESSION = contract_of(FEATURE)
MARK = "mArK"


def classes(*labels: Category) -> Contract:
    """A classifier with such classes."""
    return Contract((FEATURE,), "multiclass", "booster", labels)


def read_text(text: str, max_items: int = 10) -> list[SubmittedOutcome]:
    """Read a body."""
    return read(parse(text.encode(), max_items + 1, 1000), max_items)[0]


def read_one(value: str, name: str = f'"{ID}"') -> SubmittedOutcome:
    """Read one outcome, given as JSON."""
    (given,) = read_text(f'{{"id": {name}, "outcome": {value}}}')
    return given


def codes(given: SubmittedOutcome) -> list[tuple[str, str]]:
    """Where something is wrong, and what."""
    return [(fault.pointer, fault.code) for fault in given.faults]


def test_one_or_many() -> None:
    """An object is one outcome, an array many, each with its place."""
    body = {"id": ID, "outcome": 1}
    given, is_list = read(JsonObject(body), 10)
    assert ([(one.id, one.value, one.pointer) for one in given], is_list) == ([(ID, 1, "")], False)
    given, is_list = read([JsonObject(body)] * 2, 10)
    assert ([one.pointer for one in given], is_list) == (["/0", "/1"], True)
    assert not any(one.faults for one in given)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (1, "wrong_type"),
        (None, "wrong_type"),
        ("x", "wrong_type"),
        (True, "wrong_type"),
        ([], "empty_batch"),
        ([JsonObject()] * 11, "too_many_rows"),
    ],
)
def test_the_document_itself(document: object, code: str) -> None:
    """What is neither an outcome nor a list of some is refused whole."""
    with pytest.raises(Problem) as caught:
        read(document, 10)
    assert caught.value.kind == "invalid-outcome"
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("", code)]


def test_as_many_as_may_be() -> None:
    """The most that there may be is not too many."""
    assert len(read([JsonObject()] * 10, 10)[0]) == 10


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", [("/id", "missing"), ("/outcome", "missing")]),
        (f'{{"id":"{ID}"}}', [("/outcome", "missing")]),
        (f'{{"id":"{ID}","outcome":1,"{MARK}":2}}', [("", "unknown_member")]),
        (f'{{"id":"{ID}","id":"{ID}","outcome":1}}', [("", "duplicate_key")]),
        (f'{{"id":"{ID}","outcome":1,"outcome":2}}', [("", "duplicate_key")]),
        (f'[1,{{"id":"{ID}","outcome":1}}]', [("/0", "wrong_type")]),
        (f'[[],{{"id":"{ID}","outcome":1}}]', [("/0", "wrong_type")]),
    ],
)
def test_the_form_of_an_item(text: str, found: list[tuple[str, str]]) -> None:
    """An item has an id and an outcome, once each, and nothing else."""
    assert codes(read_text(text)[0]) == found
    assert MARK not in str(read_text(text)[0].faults)


@pytest.mark.parametrize(
    "value",
    [
        '""',
        f'"{MARK}"',
        f'"{ID.upper()}"',
        f'"{ID[:-1]}"',
        f'"{ID}0"',
        f'" {ID}"',
        f'"{ID.replace("-", "")}"',
        f'"{{{ID}}}"',
        f'"{ID[:14]}4{ID[15:]}"',
        f'"{ID[:19]}c{ID[20:]}"',
        f'"{ID[:-1]}\\u0000"',
        f'"{ID[:-1]}\\ud800"',
        f'"{ID[:-1]}\\u0661"',
        f'"{ID[:-1]}g"',
        '"\'; DROP TABLE outcomes; --"',
        json.dumps("x" * 100_000),
    ],
)
def test_what_is_no_id(value: str) -> None:
    """Only a UUIDv7 exactly as this service writes them is an id."""
    given = read_one("1", value)
    assert codes(given) == [("/id", "malformed")]
    assert MARK not in str(given.faults) and given.id == ""


@pytest.mark.parametrize("value", ["1", "null", "true", "[]", "{}", "1.5"])
def test_an_id_of_another_type(value: str) -> None:
    """An id is a string."""
    assert codes(read_one("1", value)) == [("/id", "wrong_type")]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("null", "wrong_type"),
        ("[]", "wrong_type"),
        (f'{{"{MARK}":1}}', "wrong_type"),
        ("NaN", "not_finite"),
        ("Infinity", "not_finite"),
        ("1e999", "not_finite"),
        ("-" + "9" * 399, "not_finite"),
        ("9" * 500, "not_finite"),
        ("1e200", "out_of_bounds"),
        ("-1.7e308", "out_of_bounds"),
        ("1" + "0" * 101, "out_of_bounds"),
        ('"\\ud800"', "malformed"),
        ('"a\\u0000b"', "malformed"),
    ],
)
def test_what_is_no_outcome(value: str, code: str) -> None:
    """An outcome is text, a number that a float64 can hold, or a boolean."""
    assert codes(read_one(value)) == [("/outcome", code)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_numbers_of_callers_in_this_process(value: float) -> None:
    """What JSON cannot say is no outcome either where it comes as a Python value."""
    (given,), _ = read(JsonObject(id=ID, outcome=value), 10)
    assert codes(given) == [("/outcome", "not_finite")]


@pytest.mark.parametrize(
    ("labels", "value", "text"),
    [
        ((0, 1), "1", "1"),
        ((0, 1), "1.0", "1"),
        ((0, 1), "-0.0", "0"),
        ((0, 1), "true", None),
        ((0, 1), "false", None),
        ((0, 1), '"1"', None),
        ((0, 1), "2", None),
        ((0, 1), "0.5", None),
        ((False, True), "true", "True"),
        ((False, True), "1", None),
        ((False, True), "0", None),
        ((False, True), '"True"', None),
        (("0", "1"), '"1"', "1"),
        (("0", "1"), "1", None),
        (("0", "1"), "true", None),
        (("no", 1, True), "true", "True"),
        (("no", 1, True), "1", "1"),
        (("no", 1, True), '"no"', "no"),
        (("no", 1, True), '"NO"', None),
        (("no", 1, True), '"no "', None),
        (("", "é"), '""', ""),
        (("", "é"), '"é"', "é"),
        (("", "é"), '"e\\u0301"', None),
        ((0.5, 1.5), "0.5", "0.5"),
    ],
)
def test_a_class_is_one_of_the_models(
    labels: tuple[Category, ...], value: str, text: str | None
) -> None:
    """A class is taken if the model has it, with its type: neither 1, "1" nor true is another."""
    given = read_one(value)
    assert write(given, classes(*labels)) == text
    assert codes(given) == ([] if text is not None else [("/outcome", "unknown_class")])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1.0"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("-0.0", "-0.0"),
        ("5e-324", "5e-324"),
        ("9.9e99", "9.9e+99"),
        ("9007199254740993", "9007199254740992.0"),
        ("1" + "0" * 100, "1e+100"),
    ],
)
def test_a_number_is_written_so_that_it_comes_back(value: str, text: str) -> None:
    """A regression's outcome is the shortest text of the float64 that is nearest."""
    assert write(read_one(value), REGRESSION) == text


@pytest.mark.parametrize("value", ["true", '"1"', '"nan"', '""'])
def test_a_regression_takes_numbers_alone(value: str) -> None:
    """Text and booleans are no number, whatever they look like."""
    given = read_one(value)
    assert write(given, REGRESSION) is None
    assert codes(given) == [("/outcome", "wrong_type")]


@pytest.mark.parametrize(
    ("value", "text"),
    [("1", "1"), ("0.1", "0.1"), ('"yes"', "yes"), ("true", "true"), ("9" * 30, "9" * 30)],
)
def test_of_an_unknown_model_every_outcome_is_kept(value: str, text: str) -> None:
    """Where nobody knows the model any more the outcome is kept as it came."""
    assert write(read_one(value), None) == text


def test_pointers_name_the_item() -> None:
    """In a list a fault says which item it is of."""
    given = read_text(f'[{{"id":"{ID}","outcome":"{MARK}"}},{{"id":"{MARK}","outcome":[]}}]')
    assert write(given[0], classes(0, 1)) is None
    assert [codes(one) for one in given] == [
        [("/0/outcome", "unknown_class")],
        [("/1/id", "malformed"), ("/1/outcome", "wrong_type")],
    ]
    assert MARK not in str([one.faults for one in given])
