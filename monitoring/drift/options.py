"""One setting: how it is declared, documented, read from text and kept within its bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

PREFIX = "TABSERVE_DRIFT_"

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

# Half a century: no log is older, and calendars and clocks reckon with it.
_LONGEST = timedelta(weeks=2600)

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


class SettingsError(Exception):
    """A setting is unknown or malformed; the message is one line and never repeats a secret."""


def setting(
    default: Any,
    about: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    url: Literal["", "plain", "with password"] = "",
    is_required: bool = False,
    is_secret: bool = False,
    is_hidden: bool = False,
) -> Any:
    """Declare a field of a settings dataclass.

    `about`: its documentation. `least`, `above`, `most`, `below`: bounds of a number. `url`: what
    kind of URL the text must be. `is_secret`: it has no option. `is_hidden`: it is not shown.
    """
    metadata = {
        "help": about,
        "bounds": {"at least": least, "more than": above, "at most": most, "less than": below},
        "url": url,
        "is_required": is_required,
        "is_secret": is_secret,
    }
    shown = not (is_secret or is_hidden)
    return field(default=default, repr=shown, metadata=metadata)


@dataclass(frozen=True)
class Option:
    """One setting as it is documented and read."""

    name: str
    default: object
    type: str
    metadata: Mapping[str, Any]

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str | None:
        """Its option on the command line; None for a secret."""
        return None if self.metadata["is_secret"] else "--" + self.name.replace("_", "-")

    def read(self, text: str, where: str) -> object:
        """Read a value. Raises SettingsError, which names `where` it is from."""
        reader, wanted = _TYPES[self.type]
        try:
            value = reader(text.strip())
        except (ValueError, OverflowError):
            raise SettingsError(f"{where}: {wanted}") from None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            check_bounds(value, self.metadata["bounds"], where)
        if self.metadata["is_required"] and not value:
            raise SettingsError(f"{where}: must not be empty")
        if self.metadata["url"] and value:
            _check_url(str(value), where, has_password=self.metadata["url"] == "with password")
        if self.metadata["is_secret"]:
            _check_token(str(value), where)
        return value


def check_bounds(value: float, bounds: Mapping[str, float | None], where: str) -> None:
    """Raise SettingsError unless a number is finite and within its bounds."""
    is_within = {
        "at least": lambda bound: value >= bound,
        "more than": lambda bound: value > bound,
        "at most": lambda bound: value <= bound,
        "less than": lambda bound: value < bound,
    }
    given = {word: bound for word, bound in bounds.items() if bound is not None}
    if math.isfinite(value) and all(is_within[word](bound) for word, bound in given.items()):
        return
    words = " and ".join(f"{word} {bound:g}" for word, bound in given.items())
    raise SettingsError(f"{where}: must be {words or 'finite'}")


def _read_text(text: str) -> str:
    # What a command line holds beyond UTF-8 becomes lone surrogates, which nothing takes.
    text.encode()
    return text


def _read_names(text: str) -> tuple[str, ...]:
    _read_text(text)
    if text.startswith("["):
        return tuple(msgspec.json.decode(text, type=list[str]))
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _read_limits(text: str) -> dict[str, dict[str, float]]:
    return msgspec.json.decode(_read_text(text) or "{}", type=dict[str, dict[str, float]])


def _read_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _read_duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([mhdw])", text)
    if match is None or int(match[1]) == 0:
        raise ValueError
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > _LONGEST:
        raise ValueError
    return duration


def read_time(text: str) -> datetime | None:
    """Read ISO 8601 with a zone, as UTC; None for an empty text. Raises ValueError."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


def _read_path(text: str) -> Path | None:
    return Path(text) if text else None


def _check_url(text: str, where: str, *, has_password: bool) -> None:
    """Refuse what is no base of a URL; never repeats it, as it may hold a password."""
    try:
        parts = urlsplit(text)
        is_url = (
            bool(parts.hostname)
            and parts.scheme in ("http", "https")
            and parts.port != 0
            and not (parts.query or parts.fragment)
            # urlsplit drops some of them without a word.
            and not re.search(r"[\s\x00-\x20\x7f]", text)
        )
        has_user = "@" in parts.netloc
    except ValueError:
        is_url = has_user = False
    if not is_url:
        raise SettingsError(f"{where}: must be an http or https URL, for example http://host:9091")
    if has_user and not has_password:
        raise SettingsError(f"{where}: must hold no user and no password")


def _check_token(text: str, where: str) -> None:
    # What a header can carry.
    if not text.isascii() or re.search(r"[\s\x00-\x20\x7f]", text):
        raise SettingsError(f"{where}: must be one word of ASCII")


# How the text of each type of field is read, and what to say where it cannot be.
_TYPES: dict[str, tuple[Callable[[str], Any], str]] = {
    "str": (_read_text, "must be text"),
    "int": (int, "must be a whole number"),
    "float": (float, "must be a number"),
    "bool": (_read_bool, "must be true or false"),
    "timedelta": (
        _read_duration,
        "must be a whole number and one of m, h, d, w, for example 24h, up to 2600w",
    ),
    "datetime | None": (
        read_time,
        "must be a time with a zone, for example 2026-01-31T00:00:00Z",
    ),
    "Path": (Path, "must be a path"),
    "Path | None": (_read_path, "must be a path"),
    "tuple[str, ...]": (
        _read_names,
        'must be names with commas between them, or a JSON array as ["a", "b"]',
    ),
    "Mapping[str, Mapping[str, float]]": (
        _read_limits,
        'must be a JSON object of features, for example {"age": {"min_ks": 0.1}}',
    ),
}
