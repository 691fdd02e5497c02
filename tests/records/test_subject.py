"""Subjects become tokens that say nothing without the key."""

from __future__ import annotations

import pytest

from bentos.errors import ConfigurationError
from bentos.records.subject import read_keys

# RFC 4231, section 4.7: a key longer than the hash's block.
RFC_KEY = "aa" * 131
RFC_DATA = "Test Using Larger Than Block-Size Key - Hash Key First"
RFC_DIGEST = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"

PART = "5ec7e7"


def test_a_token_is_hmac_sha256() -> None:
    """A token is what RFC 4231 says that HMAC-SHA256 gives, under the key's id."""
    keys = read_keys(f"rfc:{RFC_KEY}")
    assert keys is not None
    assert keys.token(RFC_DATA) == ("rfc", RFC_DIGEST)
    assert keys.tokens(RFC_DATA) == [RFC_DIGEST]


def test_the_first_key_makes_tokens_and_every_key_finds_them() -> None:
    """A new key put first makes the new tokens; the old one still gives the old tokens."""
    old, new = "00" * 32, "11" * 40
    before, after = read_keys(f"old:{old}"), read_keys(f"new:{new}, old:{old}")
    assert before is not None and after is not None
    assert after.ids == ("new", "old")
    key_id, token = after.token("José")
    assert key_id == "new"
    assert after.tokens("José") == [token, before.token("José")[1]]


def test_one_letter_makes_another_token() -> None:
    """Subjects that differ in one bit have tokens that have nothing in common."""
    keys = read_keys("k:" + "ab" * 32)
    assert keys is not None
    assert len({keys.token(subject)[1] for subject in ("a", "A", "a ", "b", "")}) == 5


@pytest.mark.parametrize("text", ["", ",", ",,"])
def test_no_keys(text: str) -> None:
    """Where there are no keys there is nothing to make tokens with."""
    assert read_keys(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PART * 12, "subject key 1 must be ID:HEX"),
        (f"k:{PART}", "subject key 1 must be ID:HEX, at least 64 digits"),
        (f"k:{PART * 10}xyz0", "subject key 1 must be ID:HEX"),
        (f"k:{PART * 11}f", "subject key 1 must be ID:HEX"),
        (f"{PART} {PART}:{PART * 12}", "subject key 1 must be ID:HEX"),
        (f":{PART * 12}", "subject key 1 must be ID:HEX"),
        (f"{'k' * 33}:{PART * 12}", "subject key 1 must be ID:HEX"),
        (f"k:{'ab' * 32},k:{PART * 12}", "subject key 2 has the id of an earlier one"),
        (f"k:{'ab' * 32},{PART}", "subject key 2 must be ID:HEX"),
    ],
)
def test_a_malformed_key_is_refused_by_its_place(text: str, said: str) -> None:
    """What is no key is refused by its number, and nothing of it is repeated."""
    with pytest.raises(ConfigurationError) as caught:
        read_keys(text)
    assert str(caught.value).startswith(said)
    assert PART not in str(caught.value)
