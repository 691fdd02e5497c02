"""Compressed bodies: honest ones, broken ones and bombs."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.errors import Problem
from bentos.serving.gzip import decompress

LIMIT = 1000


@pytest.mark.parametrize("body", [b"", b"x", b"x" * LIMIT])
def test_round_trip(body: bytes) -> None:
    """What was packed comes out, up to the limit."""
    assert decompress(gzip.compress(body), LIMIT) == body


def test_nothing() -> None:
    """No bytes are no members: an empty body, which is for the JSON reader to refuse."""
    assert decompress(b"", LIMIT) == b""


def test_members() -> None:
    """Members one after the other are one body (RFC 1952, section 2.2)."""
    assert (
        decompress(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"), LIMIT) == b"ab"
    )
    assert decompress(gzip.compress(b"a") * 16, LIMIT) == b"a" * 16


def problem_of(body: bytes) -> Problem:
    """The problem of a body that cannot be unpacked."""
    with pytest.raises(Problem) as caught:
        decompress(body, LIMIT)
    return caught.value


def test_too_large() -> None:
    """More than the limit is refused, in one member or in several."""
    assert problem_of(gzip.compress(b"x" * (LIMIT + 1))).kind == "too-large"
    assert problem_of(gzip.compress(b"x" * LIMIT) + gzip.compress(b"x")).kind == "too-large"


def test_bomb() -> None:
    """A bomb costs no more than an honest body: unpacking stops at the limit."""
    bomb = gzip.compress(bytes(50_000_000))
    started = time.process_time()
    assert problem_of(bomb).kind == "too-large"
    # Unpacking all of it takes some 50 ms.
    assert time.process_time() - started < 0.02


def test_many_members() -> None:
    """A body of very many empty members is refused at once: each would cost a copy of the rest."""
    body = gzip.compress(b"") * 50_000
    started = time.process_time()
    assert problem_of(body).detail == "the gzip body has more than 16 members"
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}")[:5],
        gzip.compress(b"{}") + b"\x00",
        gzip.compress(b"{}") + b"{}",
        zlib.compress(b"{}"),
        gzip.compress(b"{}")[:-8] + bytes(8),
    ],
)
def test_broken(body: bytes) -> None:
    """What is no gzip, ends early, goes on or has a wrong checksum is a 400."""
    assert problem_of(body).kind == "malformed"


@given(st.binary(max_size=64), st.booleans())
def test_any_bytes(body: bytes, has_header: bool) -> None:
    """Whatever bytes come, the client hears of a problem or gets what it packed."""
    try:
        unpacked = decompress(gzip.compress(b"")[:10] + body if has_header else body, LIMIT)
    except Problem as problem:
        assert 400 <= int(problem.status) < 500
    else:
        assert len(unpacked) <= LIMIT
