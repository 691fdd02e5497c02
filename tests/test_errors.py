"""Problems: one shape, the right status, RFC 9457."""

from __future__ import annotations

import json

import msgspec
import pytest

from bentos.errors import (
    PROBLEMS,
    ConfigurationError,
    Fault,
    IntakeError,
    IntegrityError,
    Problem,
    TabserveError,
)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_document(kind: str) -> None:
    """A problem document has the members of RFC 9457, a request id and its errors."""
    problem = Problem(kind, "a detail", faults=[Fault("/a", "missing", "is required")])
    document = json.loads(msgspec.json.encode(problem.document("id-1")))
    assert document == {
        "type": f"urn:tabserve:problem:{kind}",
        "title": PROBLEMS[kind][1],
        "status": int(PROBLEMS[kind][0]),
        "detail": "a detail",
        "request_id": "id-1",
        "errors": [{"pointer": "/a", "code": "missing", "detail": "is required"}],
    }


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("malformed", 400),
        ("bad-query", 400),
        ("not-found", 404),
        ("method-not-allowed", 405),
        ("request-timeout", 408),
        ("too-large", 413),
        ("unsupported-media-type", 415),
        ("invalid-features", 422),
        ("internal", 500),
        ("overloaded", 503),
        ("not-ready", 503),
        ("timeout", 504),
    ],
)
def test_status(kind: str, status: int) -> None:
    """A client's mistake is a 4xx, a server's a 5xx."""
    assert PROBLEMS[kind][0] == status
    assert int(Problem(kind, "").status) == status


def test_parts() -> None:
    """A problem keeps its headers; its text is its detail."""
    problem = Problem("overloaded", "later", headers={"Retry-After": "1"})
    assert problem.headers == {"Retry-After": "1"}
    assert (str(problem), problem.faults) == ("later", ())
    assert Problem("internal", "x").headers == {}


@pytest.mark.parametrize("kind", [ConfigurationError, IntakeError, IntegrityError, Problem])
def test_tree(kind: type[Exception]) -> None:
    """Whatever tabserve raises on purpose is one kind of error."""
    assert issubclass(kind, TabserveError)
