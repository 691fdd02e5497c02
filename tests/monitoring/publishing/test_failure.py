"""What is said of an exception: one line, and no value that broke it."""

from __future__ import annotations

from monitoring.drift.publishing.exchange import NotTaken
from monitoring.drift.publishing.failure import describe, to_line


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_only_safe_messages_are_repeated() -> None:
    """The system's, an import's, our own; of the others the type and the place."""
    assert describe(raised(NotTaken("HTTP 500"))) == "HTTP 500"
    assert describe(raised(FileNotFoundError(2, "No such file", "a"))).endswith("No such file: 'a'")
    assert describe(raised(ImportError("No module named 'x'"))) == "No module named 'x'"
    said = describe(raised(ValueError("port 'hunter2@host'")))
    assert said.startswith("ValueError at test_failure.py:")
    assert describe(OSError()) == "OSError"


def test_a_line_is_one_line() -> None:
    """Whatever ends one, or moves a terminal's cursor, is a space."""
    assert to_line("a\r\nb\x1b[2Jc\u2028d") == "a b [2Jc d"
    assert "\n" not in describe(raised(OSError("a\nb")))
