"""Errors of the Open Inference Protocol, as its clients read them."""

from __future__ import annotations

from typing import Any

from tests.service.driver import Answer

Row = dict[str, Any]


def error_of(answer: Answer, status: int) -> str:
    """Assert that an answer is an error in the protocol's shape; give its text."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.keys() == {"error"}
    text: str = document["error"]
    assert text and "Traceback" not in text and "msgspec" not in text
    return text
