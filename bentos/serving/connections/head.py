"""What a request's head must keep to, beyond what the parser checks (RFC 9112, sections 3.2, 6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

import httptools

from bentos.errors import Problem

Headers = Sequence[tuple[bytes, bytes]]

# No client of ours sends 30; a proxy adds a few of its own.
MAX_HEADERS = 100

# A request that asks for another protocol is answered in this one, so these are left out.
_OF_AN_UPGRADE = frozenset({b"connection", b"http2-settings", b"upgrade"})

# Targets that are kept as they were read: clients ask for the same few.
_MOST_KEPT, _LONGEST_KEPT = 64, 256


def bad_http(detail: str) -> Problem:
    """Make the problem of a request that is not HTTP as it should be."""
    # Where the next request begins is not known, so the connection cannot be used again.
    return Problem("bad-http", detail, headers={"Connection": "close"})


def too_large(max_bytes: int) -> Problem:
    """Make the problem of a head beyond the limits."""
    return Problem(
        "head-too-large",
        f"target and headers may have at most {max_bytes} bytes, in at most {MAX_HEADERS} headers",
        headers={"Connection": "close"},
    )


def check(headers: Headers, version: str) -> None:
    """Raise Problem where a proxy before us might read the same head in another way."""
    if version not in ("1.1", "1.0"):
        raise bad_http("only the versions 1.1 and 1.0 of HTTP are read")
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts != 1 and (hosts or version == "1.1"):
        raise bad_http("the header Host must be sent once")
    if b"transfer-encoding" in names:
        _check_coding(names, headers, version)


def _check_coding(names: Sequence[bytes], headers: Headers, version: str) -> None:
    if b"content-length" in names:
        raise bad_http("Content-Length and Transfer-Encoding exclude each other")
    if version != "1.1":
        raise bad_http("Transfer-Encoding needs HTTP/1.1")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings != [b"chunked"]:
        raise bad_http(
            "Transfer-Encoding may only be: chunked; a packed body has Content-Encoding: gzip"
        )


def without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Write a head anew that asks for no other protocol."""
    options = [
        option.strip()
        for name, value in headers
        if name == b"connection"
        for option in value.lower().split(b",")
    ]
    kept = [(name, value) for name, value in headers if name not in _OF_AN_UPGRADE]
    kept += [(b"connection", option) for option in options if option in (b"close", b"keep-alive")]
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [b"%s: %s" % header for header in kept]
    return b"\r\n".join([*lines, b"", b""])


def split(target: bytes) -> tuple[bytes, str, bytes]:
    """The path as it came and decoded, and the query. Raises HttpParserInvalidURLError."""
    return _split_again(target) if len(target) <= _LONGEST_KEPT else _split(target)


def _split(target: bytes) -> tuple[bytes, str, bytes]:
    parts = httptools.parse_url(target)
    path = parts.path.decode("ascii")
    return parts.path, unquote(path) if "%" in path else path, parts.query or b""


_split_again = lru_cache(_MOST_KEPT)(_split)
