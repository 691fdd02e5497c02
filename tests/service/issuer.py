"""An OIDC issuer on this machine: discovery, key set, and tokens of every kind, good and bad."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "scoring"
_DISCOVERY = "/realm/.well-known/openid-configuration"


class Issuer:
    """Serves the public halves of its keys on loopback; `requests` counts the fetches of them."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.keys: dict[str, RSAKey | ECKey] = {}
        self.requests = 0
        # Answers with this instead, where it is set: status and body.
        self.instead: tuple[int, bytes] | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/realm"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop to serve."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, key_id: str, kind: str = "RSA") -> None:
        """Make a signing key."""
        key: RSAKey | ECKey = RSAKey.generate_key(2048) if kind == "RSA" else ECKey.generate_key()
        self.keys[key_id] = key

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path == _DISCOVERY:
            document: Any = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        else:
            self.requests += 1
            public = [key.as_dict(private=False) | {"kid": one} for one, key in self.keys.items()]
            # What else a real set has: a key for encryption, a kind that is not known, and a
            # shared secret, which must never verify anything.
            others = [
                {"kty": "OKP", "crv": "ML-KEM", "x": "AA", "kid": "future"},
                {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "shared"},
                {**public[0], "kid": "encryption", "use": "enc"},
            ]
            document = {"keys": [*public, *others]}
        status, body = 200, json.dumps(document).encode()
        if self.instead is not None:
            status, body = self.instead
        handler.send_response(status)
        if status in (301, 302, 307):
            handler.send_header("Location", body.decode())
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; None takes one out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "risk-team",
            "iat": now,
            "exp": now + 300,
            "scope": "openid predict",
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key_id: str = "first", alg: str = "", header: Any = None, **changes: Any
    ) -> str:
        """Sign a token with one of the keys."""
        key = self.keys[key_id]
        alg = alg or ("RS256" if isinstance(key, RSAKey) else "ES256")
        given = {"alg": alg, "kid": key_id} | (header or {})
        named = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(named, self.claims(**changes), key, algorithms=[alg])

    def sign(self, header: dict[str, Any]) -> str:
        """Sign good claims under any header with the first key, RS256."""
        start = f"{b64(header)}.{b64(self.claims())}"
        private: Any = self.keys["first"].private_key
        return f"{start}.{b64(private.sign(start.encode(), PKCS1v15(), SHA256()))}"


def b64(data: Any) -> str:
    """Base64url without padding, of bytes or of JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
