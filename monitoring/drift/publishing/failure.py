"""What went wrong, as one line for a log: without the value that broke it.

A library's exception may quote a URL with its password, a header with its token, or a
client's text; only messages that are known to hold none are repeated.
"""

from __future__ import annotations

import re
from pathlib import Path
from traceback import extract_tb

from monitoring.drift.publishing.exchange import NotTaken

# What ends a line somewhere, or moves a terminal's cursor.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def describe(error: Exception) -> str:
    """One line: the message where it is safe, else the type and where it was raised."""
    if isinstance(error, (OSError, ImportError, NotTaken)) and str(error):
        return to_line(str(error))
    frames = extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place


def to_line(text: str) -> str:
    """The text with a space for whatever would begin another line."""
    return _CONTROL.sub(" ", text)
