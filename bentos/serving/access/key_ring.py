"""The keys in force: read from their file, and read again when it changes.

The file is read whole every second and compared, whatever its times and inode say: a mounted
Secret is a chain of links that Kubernetes swaps, and an editor may write in place. A file
that cannot be used changes nothing: the keys before it stay in force, and one line says so.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from bentos.errors import ConfigurationError
from bentos.logs import LOGGER
from bentos.serving.access import file, keys
from bentos.serving.access.keys import KEY_CHARACTERS, Key
from bentos.serving.access.limits import LimitedClient

# Names that metrics list; clients beyond them are counted as one.
_MOST_LABELS = 100
_OTHER = "other"

# An id that is not in the file costs the same hash as one that is.
_NO_KEY, _ = keys.make("none", ("predict",))
_ID = keys.ID_SLICE


class KnownClient(LimitedClient):
    """The client of one key."""

    __slots__ = ("digest", "expires_at", "key", "salt", "scopes")

    def __init__(self, key: Key, label: str) -> None:
        super().__init__(key.name, label, key.limits)
        self.key = key
        self.scopes = frozenset(key.scopes)
        self.salt = bytes.fromhex(key.salt)
        self.digest = bytes.fromhex(key.digest)
        self.expires_at = float("inf") if key.expires is None else key.expires.timestamp()


class KeyRing:
    """The keys of one worker. `find` belongs to the event loop's thread; `read_again` to any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = b""
        self._labels: set[str] = set()
        self._clients: dict[bytes, KnownClient] = {}
        self._reason = ""
        # Lines for the log, said when there is one.
        self._lines: list[tuple[int, str]] = []
        self._nobody = KnownClient(_NO_KEY, _OTHER)
        try:
            self._take(*file.read_bytes(path))
        except ValueError as error:
            raise ConfigurationError(f"TABSERVE_KEYS_FILE ({path}): {error}") from None

    def __len__(self) -> int:
        """How many keys have not expired."""
        now = time.time()
        return sum(client.expires_at > now for client in self._clients.values())

    @property
    def is_stale(self) -> bool:
        """Whether the file, as it is now, cannot be used."""
        return bool(self._reason)

    def find(self, text: bytes) -> KnownClient | None:
        """The client of a key, expired or not; None where it is no key of the file."""
        if len(text) != KEY_CHARACTERS:
            return None
        known = self._clients.get(text[_ID])
        client = known or self._nobody
        is_equal = keys.is_equal(client.salt, text, client.digest)
        return known if is_equal else None

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
        made: dict[bytes, KnownClient] = {}
        for key in keys.read(data):
            identity = key.id.encode()
            before = self._clients.get(identity)
            if before is None or before.key != key:
                made[identity] = KnownClient(key, self._label(key.name))
            else:
                # It keeps its buckets: a change to another key refills none.
                made[identity] = before
        # One assignment: a request sees the old keys or the new ones.
        self._clients = made
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
