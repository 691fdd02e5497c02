"""Failed attempts by address."""

from __future__ import annotations

from bentos.serving.access.guessing import Guessing


def test_ten_failures_are_quick_and_then_one_a_second() -> None:
    """An address that fails more often is slow, and other addresses are not."""
    guessing = Guessing()
    assert [guessing.count("192.0.2.1") for _ in range(12)] == [False] * 10 + [True] * 2
    assert not guessing.count("192.0.2.2")


def test_an_ipv6_network_is_one_address() -> None:
    """A client has 2^64 addresses of its own."""
    guessing = Guessing()
    often = [guessing.count(f"2001:db8::{number:x}") for number in range(12)]
    assert often[-1]
    assert not guessing.count("2001:db8:0:1::1")


def test_memory_is_bounded_whatever_comes() -> None:
    """Twenty thousand addresses, and texts that are none, take the room of some thousand."""
    guessing = Guessing()
    for number in range(20_000):
        guessing.count(f"{number}:" + "x" * 1000)
    assert len(guessing) <= 4096
