"""The subject of a prediction, as a token that says nothing without the key.

HMAC-SHA256 (RFC 2104) of the subject's UTF-8 text. Keys stay in settings: who has the
database alone can neither read a subject nor test a guess. Keys are replaced by putting a
new one first; the old ones find the older rows.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from bentos.errors import ConfigurationError

# As long as the digest: less could be guessed, more adds nothing (RFC 2104, section 3).
_LEAST_KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


class Keys:
    """Keys for subject tokens, by id; the first one makes new tokens."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the current one first."""
        return tuple(self._keys)

    def token(self, subject: str) -> tuple[str, str]:
        """The current key's id, and the subject's token under it, as hexadecimal text."""
        key_id, key = next(iter(self._keys.items()))
        return key_id, _digest(key, subject)

    def tokens(self, subject: str) -> list[str]:
        """The subject's token under each key: any of them may be in the log."""
        return [_digest(key, subject) for key in self._keys.values()]


def _digest(key: bytes, subject: str) -> str:
    return hmac.new(key, subject.encode(), hashlib.sha256).hexdigest()


def read_keys(text: str) -> Keys | None:
    """Read `ID:HEX[,ID:HEX...]`; None where there are none.

    Raises ConfigurationError, naming the place of the key and repeating nothing of it.
    """
    keys: dict[str, bytes] = {}
    for number, part in enumerate(filter(None, text.split(",")), start=1):
        key_id, _, digits = part.strip().partition(":")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            raise ConfigurationError(f"subject key {number} must be ID:HEX") from None
        if not _KEY_ID.fullmatch(key_id) or len(key) < _LEAST_KEY_BYTES:
            raise ConfigurationError(
                f"subject key {number} must be ID:HEX, at least {2 * _LEAST_KEY_BYTES} digits: "
                "`openssl rand -hex 32` makes one"
            )
        if key_id in keys:
            raise ConfigurationError(f"subject key {number} has the id of an earlier one")
        keys[key_id] = key
    return Keys(keys) if keys else None
