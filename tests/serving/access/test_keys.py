"""Keys and the file that lists them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bentos.serving.access import keys
from bentos.serving.access.keys import KeyLimits


def test_a_key_is_known_by_its_hash_alone() -> None:
    """The file has neither the key nor its secret, and the hash tells the key from all others."""
    key, text = keys.make("ben", ("predict",))
    written = keys.write([key])
    assert len(text) == keys.KEY_CHARACTERS and text[keys.ID_SLICE] == key.id
    assert text.encode() not in written and text[17:].encode() not in written
    salt, digest = bytes.fromhex(key.salt), bytes.fromhex(key.digest)
    assert keys.is_equal(salt, text.encode(), digest)
    for place in range(len(text)):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert not keys.is_equal(salt, other.encode(), digest)


def test_no_two_keys_are_alike() -> None:
    """Id, salt and secret are drawn anew for each key: equal secrets would have other hashes."""
    made = [keys.make("ben", ("predict",)) for _ in range(50)]
    assert len({key.id for key, _ in made}) == 50
    assert len({key.salt for key, _ in made}) == 50
    assert len({text[17:] for _, text in made}) == 50


def test_a_file_comes_back_as_it_was_written() -> None:
    """Scopes, expiry and limits are kept."""
    expires = datetime(2030, 1, 2, tzinfo=UTC)
    limits = KeyLimits(5, 100, 2.5, 4)
    made = [
        keys.make("ben", ("predict", "admin"), expires, limits)[0],
        keys.make("ann", ("feedback",))[0],
    ]
    assert keys.read(keys.write(made)) == tuple(made)


def changed(**members: Any) -> bytes:
    """A keys file of one key with other members."""
    document = json.loads(keys.write([keys.make("ben", ("predict",))[0]]))
    document["keys"][0] |= members
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "$"),
        (b'{"keys": [], "version": 2}', "$.version"),
        (b'{"keys": [], "MARK": 1}', "$"),
        (changed(scopes=["MARK"]), "$.keys[0].scopes[0]"),
        (changed(scopes=[]), "$.keys[0].scopes"),
        (changed(name="MARK"), "$.keys[0].name"),
        (changed(name="anonymous"), "$.keys[0].name"),
        (changed(name="b\n"), "$.keys[0].name"),
        (changed(name="bén"), "$.keys[0].name"),
        (changed(id="MARK"), "$.keys[0].id"),
        (changed(salt="MARK"), "$.keys[0].salt"),
        (changed(digest="MARK"), "$.keys[0].digest"),
        (changed(expires="2030-01-01T00:00:00"), "$.keys[0].expires"),
        (changed(expires="MARK"), "$.keys[0].expires"),
        (changed(limits={"rows_per_second": -1}), "$.keys[0].limits"),
        (changed(limits={"MARK": 1}), "$.keys[0].limits"),
        (changed(key="MARK"), "$.keys[0]"),
    ],
)
def test_a_broken_file_is_refused_by_place(data: bytes, place: str) -> None:
    """One line names the place and repeats nothing of the file."""
    with pytest.raises(ValueError) as refusal:
        keys.read(data)
    assert place in str(refusal.value)
    assert "MARK" not in str(refusal.value) and "\n" not in str(refusal.value)


def test_two_keys_of_one_id_are_refused() -> None:
    """The id leads to one key."""
    key, _ = keys.make("ben", ("predict",))
    with pytest.raises(ValueError, match=r"keys\[1\]\.id"):
        keys.read(keys.write([key, key]))
