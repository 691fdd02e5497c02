"""The keys in force: read from their file, and read again when it changes.

The file is read whole every second and compared, whatever its times and inode say: a mounted
Secret is a chain of links that Kubernetes swaps, and an editor may write in place. A file
that cannot be used changes nothing: the keys before it stay in force, and one line says so.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

from bentos.errors import ConfigurationError
from bentos.logs import LOGGER
from bentos.serving.access import file, keys
from bentos.serving.access.grant import Grant
from bentos.serving.access.keys import KEY_CHARACTERS, Key
from bentos.serving.access.limits import LimitedClient

# Names that metrics list; clients beyond them are counted as one.
_MOST_LABELS = 100
_OTHER = "other"

# An id that is not in the file costs the same hash as one that is.
_NO_KEY, _ = keys.make("none", ("predict",))
_ID = keys.ID_SLICE

# Headers that were found good: `Bearer KEY`, and few other spellings of it.
_MOST_SEEN = 2 * keys.MOST_KEYS
_LONGEST_SEEN = 80


class KnownKey(Grant):
    """One key of the file, and its client."""

    __slots__ = ("digest", "key", "salt")

    def __init__(self, key: Key, label: str) -> None:
        expires_at = 0.0 if key.expires is None else key.expires.timestamp()
        super().__init__(LimitedClient(key.name, label, key.limits), key.scopes, expires_at)
        self.key = key
        self.salt = bytes.fromhex(key.salt)
        self.digest = bytes.fromhex(key.digest)


class _Generation:
    """The keys of one state of the file: by id, and by headers that were found good."""

    __slots__ = ("keys", "seen")

    def __init__(self, keys_by_id: dict[bytes, KnownKey]) -> None:
        self.keys = keys_by_id
        self.seen: dict[bytes, KnownKey] = {}


class KeyRing:
    """The keys of one worker. `find` belongs to the event loop's thread; `read_again` to any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = b""
        self._labels: set[str] = set()
        self._generation = _Generation({})
        self._reason = ""
        # Lines for the log, said when there is one.
        self._lines: list[tuple[int, str]] = []
        self._nobody = KnownKey(_NO_KEY, _OTHER)
        try:
            self._take(*file.read_bytes(path))
        except ValueError as error:
            raise ConfigurationError(f"TABSERVE_KEYS_FILE ({path}): {error}") from None

    def __len__(self) -> int:
        """How many keys have not expired."""
        now = time.time()
        return sum(not 0 < one.expires_at <= now for one in self._generation.keys.values())

    @property
    def next_expiry(self) -> float:
        """When the first client will have no key any more: seconds since 1970, 0 for never.

        A client that has a newer key as well loses nothing with the old one.
        """
        last: dict[str, float] = {}
        for one in self._generation.keys.values():
            name, expires_at = one.key.name, one.expires_at or math.inf
            last[name] = max(expires_at, last.get(name, 0.0))
        now = time.time()
        left = min((at for at in last.values() if at > now), default=math.inf)
        return 0.0 if left == math.inf else left

    @property
    def is_stale(self) -> bool:
        """Whether the file, as it is now, cannot be used."""
        return bool(self._reason)

    def find(self, text: bytes, header: bytes = b"") -> KnownKey | None:
        """The entry of a key, expired or not; None where it is no key of the file.

        `header`: the whole Authorization header, where the key stands in one.
        """
        if len(text) != KEY_CHARACTERS:
            return None
        generation = self._generation
        known = generation.keys.get(text[_ID])
        one = known or self._nobody
        if not keys.is_equal(one.salt, text, one.digest) or known is None:
            return None
        if 0 < len(header) < _LONGEST_SEEN:
            if len(generation.seen) >= _MOST_SEEN:
                generation.seen.clear()
            generation.seen[header] = known
        return known

    def find_again(self, header: bytes) -> KnownKey | None:
        """The entry of an Authorization header that `find` was given before, as it stands.

        To hash a key takes some hundredths of the time of a lone row's answer. A dictionary
        compares a text only with one of an equal hash, 64 bits that are made with a secret of
        this process: how long a look takes says nothing about a key to who does not have it.
        """
        return self._generation.seen.get(header)

    def read_again(self) -> None:
        """Take over what the file says now, if that is another thing than before."""
        try:
            data, exposure = file.read_bytes(self._path)
            if data != self._data:
                self._take(data, exposure)
            else:
                self._settle("")
        except ValueError as error:
            self._settle(str(error))

    def report(self) -> None:
        """Write to the log what happened since the last report."""
        lines, self._lines = self._lines, []
        for level, line in lines:
            LOGGER.log(level, line)

    def _settle(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            if reason:
                self._say(logging.ERROR, f"{reason}; the keys before stay in force")
            else:
                self._say(logging.INFO, "is again what it was")

    def _take(self, data: bytes, exposure: str) -> None:
        made: dict[bytes, KnownKey] = {}
        for key in keys.read(data):
            identity = key.id.encode()
            before = self._generation.keys.get(identity)
            if before is None or before.key != key:
                made[identity] = KnownKey(key, self._label(key.name))
            else:
                # It keeps its buckets: a change to another key refills none.
                made[identity] = before
        # One assignment: a request sees the old keys or the new ones, and what was found under
        # the old ones is not found again.
        self._generation = _Generation(made)
        self._data, self._reason = data, ""
        count = len(self)
        self._say(
            logging.INFO if count else logging.WARNING,
            f"{count} {'key' if count == 1 else 'keys'} in force, {len(made) - count} expired",
        )
        if exposure:
            self._say(logging.WARNING, exposure)

    def _say(self, level: int, text: str) -> None:
        self._lines.append((level, f"keys file {self._path}: {text}"))

    def _label(self, name: str) -> str:
        if name in self._labels or len(self._labels) < _MOST_LABELS:
            self._labels.add(name)
            return name
        return _OTHER
