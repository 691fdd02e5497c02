"""Model versions as people name them."""

from __future__ import annotations

import pytest

from bentos.errors import ConfigurationError
from bentos.model import naming

VERSIONS = ["v1-aaaa11112222", "v10-bbbb11112222", "v2-cccc11112222", "v2-dddd11112222", "eeee1111"]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("v1-aaaa11112222", ["v1-aaaa11112222"]),
        ("v1", ["v1-aaaa11112222"]),
        ("1", ["v1-aaaa11112222"]),
        ("10", ["v10-bbbb11112222"]),
        ("v2", ["v2-cccc11112222", "v2-dddd11112222"]),
        ("v2-c", ["v2-cccc11112222"]),
        ("dddd", ["v2-dddd11112222"]),
        ("eeee", ["eeee1111"]),
        ("ddd", []),
        ("v3", []),
        ("", []),
    ],
)
def test_match(named: str, found: list[str]) -> None:
    """A version is named whole, by its number, or by digits of its digest."""
    assert naming.match(VERSIONS, named) == found


def test_pick_lists_what_there_is() -> None:
    """A name that none or several versions have is refused with the versions."""
    assert naming.pick(VERSIONS, "10", "the log") == "v10-bbbb11112222"
    with pytest.raises(ConfigurationError, match="2 versions named v2: v2-cccc11112222, v2-dddd"):
        naming.pick(VERSIONS, "v2", "the log")
    with pytest.raises(ConfigurationError, match="the log has no version v7; it has v1-aaaa"):
        naming.pick(VERSIONS, "v7", "the log")


def test_resolve(imported: dict[str, str]) -> None:
    """A name alone is the latest version; part of a digest is enough; others get advice."""
    tag = imported["binary"]
    name, _, version = tag.partition(":")
    assert naming.resolve(name) == naming.resolve(f"{name}:latest") == naming.resolve(tag) == tag
    assert naming.resolve(f"{name}:{version[:6]}") == tag
    with pytest.raises(ConfigurationError, match=f"{name} has no version v9; it has {version}"):
        naming.resolve(f"{name}:v9")
    for named in ("nothing-here:latest", "No Tag:at all", "", ":"):
        with pytest.raises(ConfigurationError, match="tabserve import models:/NAME@ALIAS"):
            naming.resolve(named)
