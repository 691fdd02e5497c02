"""API keys and the file that lists them. The file holds hashes: nothing gives a key back.

A key is `tsk_ID_SECRET`. The id says which entry of the file to look at, so a request costs one
hash however many keys there are. The secret has 256 random bits.

SHA-256 with a salt, and no slow hash: a slow one protects what people choose, which can be
guessed offline. 256 random bits cannot, and NIST SP 800-63B (look-up secrets, 5.1.2.2) asks for
no more than an approved hash from 112 bits on. A hash of tens of milliseconds for each request
would let any client take the service down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from bentos.protocols.protocol import Scope

PREFIX = "tsk_"
_ID_BYTES = 6
_SECRET_BYTES = 32
_SALT_BYTES = 16
# Prefix, id in hexadecimal, underscore, secret in base64url.
KEY_CHARACTERS = 60
ID_SLICE = slice(len(PREFIX), len(PREFIX) + 2 * _ID_BYTES)

# It becomes a label and a column of the log: short, and nothing that could forge a line.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# What metrics and logs call those without a key, and those beyond the names that they list.
_RESERVED = frozenset({"anonymous", "other", "oidc"})

_ID = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")
_SALT = re.compile(rf"[0-9a-f]{{{2 * _SALT_BYTES}}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"`(\$[\w.\[\]]*)`$")

# More of them are a mistake: one file is read every second by every worker.
MOST_KEYS = 2000


class KeyLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one client may use of each worker; 0 sets no limit.

    `burst_seconds`: so many seconds' worth of its rates may be used at once.
    """

    requests_per_second: float = 0.0
    rows_per_second: float = 0.0
    burst_seconds: float = 1.0
    concurrency: int = 0


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a keys file. `salt` and `digest`: hexadecimal, of SHA-256(salt + key)."""

    id: str
    name: str
    salt: str
    digest: str
    scopes: tuple[Scope, ...]
    created: datetime
    expires: datetime | None = None
    limits: KeyLimits = KeyLimits()


class KeysFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A keys file as it is written: JSON."""

    keys: tuple[Key, ...]
    version: Literal[1] = 1


def digest(salt: bytes, text: bytes) -> bytes:
    """Hash a key, 32 bytes."""
    return hashlib.sha256(salt + text).digest()


def is_equal(salt: bytes, text: bytes, known: bytes) -> bool:
    """Whether a text has a known hash, in a time that says nothing about how alike they are."""
    return hmac.compare_digest(hashlib.sha256(salt + text).digest(), known)


def make(
    name: str,
    scopes: Sequence[Scope],
    expires: datetime | None = None,
    limits: KeyLimits | None = None,
) -> tuple[Key, str]:
    """Make a key: the entry of the file, and the key itself, which is in no other place."""
    identity, salt = secrets.token_hex(_ID_BYTES), secrets.token_bytes(_SALT_BYTES)
    text = f"{PREFIX}{identity}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    key = Key(
        identity,
        name,
        salt.hex(),
        digest(salt, text.encode()).hex(),
        tuple(scopes),
        datetime.now(UTC).replace(microsecond=0),
        expires,
        limits or KeyLimits(),
    )
    return key, text


def read(data: bytes) -> tuple[Key, ...]:
    """Read a keys file. Raises ValueError that names the place and repeats nothing of it."""
    try:
        keys = msgspec.json.decode(data, type=KeysFile).keys
    except msgspec.ValidationError as error:
        # The library's message may quote a value; the place at its end does not.
        place = _PLACE.search(str(error))
        raise ValueError(f"{place[1] if place else '$'} is not as a keys file has it") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON") from None
    if len(keys) > MOST_KEYS:
        raise ValueError(f"it has more than {MOST_KEYS} keys")
    seen: set[str] = set()
    for number, key in enumerate(keys):
        for member, is_good in (
            ("id", _ID.fullmatch(key.id) is not None and key.id not in seen),
            ("name", is_name(key.name)),
            ("salt", _SALT.fullmatch(key.salt) is not None),
            ("digest", _DIGEST.fullmatch(key.digest) is not None),
            ("scopes", bool(key.scopes)),
            ("created", key.created.tzinfo is not None),
            ("expires", key.expires is None or key.expires.tzinfo is not None),
            ("limits", are_limits(key.limits)),
        ):
            if not is_good:
                raise ValueError(f"$.keys[{number}].{member} is not as a keys file has it")
        seen.add(key.id)
    return keys


def write(keys: Sequence[Key]) -> bytes:
    """Write a keys file."""
    document = msgspec.json.encode(KeysFile(tuple(keys)))
    return msgspec.json.format(document, indent=2) + b"\n"


def is_name(name: str) -> bool:
    """Whether a key may have a name: 1 to 63 of a-z, 0-9, dot, dash and underscore."""
    return NAME.fullmatch(name) is not None and name not in _RESERVED


def are_limits(limits: KeyLimits) -> bool:
    """Whether limits can be held: none is negative, infinite or NaN."""
    rates = (limits.requests_per_second, limits.rows_per_second)
    return (
        all(0 <= rate <= 1e9 for rate in rates)
        and 0 < limits.burst_seconds <= 86_400
        and limits.concurrency >= 0
    )
