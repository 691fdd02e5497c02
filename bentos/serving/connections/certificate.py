"""The certificate of a worker's port, taken over again when its files change.

An SSL context that is in use takes another certificate: the next handshakes have it, open
connections go on. The files are looked at as connections come, as that is when they are needed.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from uvicorn import Config

from bentos.logs import LOGGER

_LOOK_SECONDS = 1.0


class Certificate:
    """What was taken over last. Only for the event loop's thread."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        self._used: tuple[bytes, bytes] | None = None
        # What could not be used, and whether the log has it.
        self._refused: tuple[bytes, bytes] | None = None
        self._is_said = False

    def look(self, config: Config, now: float) -> None:
        """Take over a certificate and key that were renewed. `now`: the monotonic clock."""
        context, certificate, key = config.ssl, config.ssl_certfile, config.ssl_keyfile
        if context is None or not certificate or now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        paths = (certificate, key or certificate)
        password = config.ssl_keyfile_password or ""
        try:
            found = Path(paths[0]).read_bytes(), Path(paths[1]).read_bytes()
        except OSError:
            found = b"", b""
        if found == self._used:
            return
        try:
            # First in a context that no one uses: a key of another certificate would leave the
            # one in use without a key. A password that is asked for must not come from a terminal.
            for one in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
                one.load_cert_chain(*paths, password=lambda: password)
        except (OSError, ValueError):
            self._refuse(found)
            return
        if self._used is not None:
            LOGGER.info("the certificate was renewed")
        self._used, self._refused, self._is_said = found, None, False

    def _refuse(self, found: tuple[bytes, bytes]) -> None:
        # Certificate and key may be written one after the other: seen once, it is no mistake.
        if found != self._refused:
            self._refused, self._is_said = found, False
        elif not self._is_said:
            self._is_said = True
            LOGGER.error(
                "the certificate and its key cannot be used as they are now; the ones before "
                "stay in use until this server is started again"
            )
