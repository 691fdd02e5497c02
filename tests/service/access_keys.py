"""Keys for tests of the service: a file of them, and the headers that bring one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bentos.protocols.protocol import Scope
from bentos.serving.access import keys
from bentos.serving.access.keys import Key, KeyLimits

ALL: tuple[Scope, ...] = ("predict", "feedback", "explain", "admin")


class Keys:
    """A keys file, and the keys that it lists, by the name of the client."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: dict[str, str] = {}
        self._keys: dict[str, Key] = {}
        self._write()

    def add(self, name: str, *scopes: Scope, expired: bool = False, **limits: Any) -> str:
        """Make a key; without scopes it is good for everything."""
        expires = datetime.now(UTC) - timedelta(hours=1) if expired else None
        made = keys.make(name, scopes or ALL, expires, KeyLimits(**limits))
        self._keys[name], self.texts[name] = made
        self._write()
        return self.texts[name]

    def revoke(self, name: str) -> None:
        """Take a key out of the file."""
        del self._keys[name]
        self._write()

    def headers(self, name: str) -> dict[str, str]:
        """Headers of a JSON request with a key."""
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self.texts[name]}"}

    def _write(self) -> None:
        self.path.write_bytes(keys.write(list(self._keys.values())))
        self.path.chmod(0o600)
