"""The signing keys of an OIDC issuer: fetched, kept, and fetched again. Needs the `oidc` extra.

Only the issuer of the settings is ever asked, whatever a token names (`jku`, `x5u`, `iss`). A
token with an unknown key id makes one fetch for all, and not before the last one is some
seconds ago: made-up ids are no way to have the issuer flooded.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from bentos.logs import LOGGER

SigningKey = RSAKey | ECKey | OKPKey

_REFRESH_SECONDS = 300.0
_COOLDOWN_SECONDS = 10.0
# Keys that could not be fetched anew are used so long: an issuer that is down for an hour stops
# nothing, and a key that it took back is not good for ever.
_LONGEST_SECONDS = 24 * 3600.0
_TIMEOUT_SECONDS = 5.0
_MOST_BYTES = 512 * 1024
_MOST_KEYS = 100
_DISCOVERY = "/.well-known/openid-configuration"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        # Urllib takes None for an error: where the keys come from is for the settings to say.
        return None


_open = urllib.request.build_opener(_NoRedirect).open


class Issuer:
    """The keys of one issuer, for one worker. Only for the event loop's thread."""

    def __init__(self, url: str, jwks_url: str = "") -> None:
        self._url = url.rstrip("/")
        self._jwks_url = jwks_url
        self._keys: dict[str, SigningKey] = {}
        # One for each set of keys: what was verified with another one is verified again.
        self.version = 0
        self.is_down = False
        self._fetched_at = -_LONGEST_SECONDS
        self._tried_at = -_COOLDOWN_SECONDS
        self._fetching: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def has_keys(self) -> bool:
        """Whether there are keys that are young enough."""
        return bool(self._keys) and time.monotonic() - self._fetched_at < _LONGEST_SECONDS

    @property
    def may_refresh(self) -> bool:
        """Whether a fetch is on its way, or may be made."""
        is_late = time.monotonic() - self._tried_at >= _COOLDOWN_SECONDS
        return self._fetching is not None or is_late

    def find(self, key_id: object) -> SigningKey | None:
        """The key of an id; a set of one key is used for tokens that name none."""
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is on its way. Never raises."""
        if self._fetching is None:
            if not self.may_refresh:
                return
            self._tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        # A caller that leaves does not end the fetch of the others.
        await asyncio.shield(self._fetching)

    def start(self) -> None:
        """Fetch the keys from now on, again and again."""
        self._watch = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Fetch no more."""
        if self._watch is not None:
            self._watch.cancel()

    async def _look(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(_COOLDOWN_SECONDS if self.is_down else _REFRESH_SECONDS)

    async def _fetch(self) -> None:
        try:
            keys = await asyncio.to_thread(self._read)
        except Exception as error:
            # A message of a library may quote what the issuer sent.
            if not self.is_down:
                reason = str(error) if type(error) is ValueError else type(error).__name__
                LOGGER.error(f"the keys of {self._url} cannot be fetched: {reason}")
            self.is_down = True
        else:
            if self.is_down or not self._keys:
                LOGGER.info(f"{len(keys)} keys of {self._url} fetched")
            if _describe(keys) != _describe(self._keys):
                self.version += 1
            self._keys, self.is_down = keys, False
            self._fetched_at = time.monotonic()
        finally:
            self._fetching = None

    def _read(self) -> dict[str, SigningKey]:
        url = self._jwks_url
        if not url:
            document = _get(self._url + _DISCOVERY)
            if document.get("issuer") != self._url and document.get("issuer") != f"{self._url}/":
                raise ValueError("its discovery document is of another issuer")
            url = str(document.get("jwks_uri"))
            require_safe(url)
        return _import(_get(url).get("keys"))


def require_safe(url: str) -> None:
    """Refuse a URL that others could answer: HTTPS, or this machine. Raises ValueError."""
    parts = urlsplit(url)
    is_here = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_here)) or not parts.hostname:
        raise ValueError("must be an https:// URL")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must have neither user, query nor fragment")


def _get(url: str) -> dict[str, Any]:
    # The scheme was checked, and certificates are: by the machine's trust store, or SSL_CERT_FILE.
    with _open(url, timeout=_TIMEOUT_SECONDS) as answer:
        data = answer.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"an answer has more than {_MOST_BYTES} bytes")
    try:
        document = json.loads(data)
    except ValueError:
        raise ValueError("an answer is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("an answer is no JSON object")
    return document


def _import(listed: object) -> dict[str, SigningKey]:
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise ValueError(f"its key set is no list of at most {_MOST_KEYS} keys")
    keys: dict[str, SigningKey] = {}
    for one in listed:
        # A set may hold keys for other uses and of kinds to come.
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(one)
        except Exception:  # noqa: S112 - the others are used
            continue
        # A shared secret in a public document is none.
        if isinstance(key, SigningKey):
            keys[str(one.get("kid", ""))] = key
    if not keys:
        raise ValueError("its key set has no key for signatures")
    return keys


def _describe(keys: dict[str, SigningKey]) -> dict[str, str]:
    return {key_id: key.thumbprint() for key_id, key in keys.items()}
