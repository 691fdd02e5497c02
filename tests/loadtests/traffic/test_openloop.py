"""The open-loop schedule: fixed before the server is asked anything."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import pytest

from loadtests.traffic import openloop

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def test_even_arrivals_keep_their_rate() -> None:
    """Even arrivals are as many as rate times seconds, and equally far apart."""
    times = list(openloop.evenly(50, 2))
    assert len(times) == 100
    assert times[0] == 0
    assert times[-1] == pytest.approx(2 - 1 / 50)


def test_random_arrivals_repeat_and_keep_their_rate() -> None:
    """The same seed gives the same Poisson arrivals, in order, at about the rate asked for."""
    times = list(openloop.randomly(1000, 10, seed=3))
    assert times == list(openloop.randomly(1000, 10, seed=3))
    assert times == sorted(times)
    assert times[-1] < 10
    # Five standard deviations of a Poisson count of 10,000.
    assert abs(len(times) - 10_000) < 500


@pytest.mark.parametrize(("share", "value"), [(0.01, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    """A percentile is a value that occurred: the smallest that the share does not exceed."""
    assert openloop.percentile(list(range(100, 0, -1)), share) == value


def test_percentile_of_nothing_is_no_number() -> None:
    """Without values there is no percentile, not a flattering zero."""
    assert math.isnan(openloop.percentile([], 0.99))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _answer(status: str, delay_seconds: float) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                await asyncio.sleep(delay_seconds)
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n" % status.encode())
                writer.write(b"Retry-After: 1\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the generator is done
        finally:
            await _close(writer)

    return handle


def _is_empty(_: int, body: bytes) -> bool:
    return body == b"{}"


async def _offer(
    handler: Handler, rate: float, seconds: float, check: openloop.Check = _is_empty
) -> openloop.Outcome:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await openloop.offer(
            port,
            [openloop.request("/", b"{}")],
            openloop.evenly(rate, seconds),
            connections=1,
            check=check,
            patience_seconds=10,
        )
        # The server hears of the closed connection, and closes its own side.
        await asyncio.sleep(0.05)
    return outcome


async def test_waiting_for_a_connection_counts() -> None:
    """Behind a server too slow for the rate, latency grows from request to request."""
    outcome = await _offer(_answer("200 OK", 0.02), rate=200, seconds=0.1)
    latencies = outcome.latencies[200]
    assert len(latencies) == outcome.scheduled == 20
    # Each takes 20 ms and they are due 5 ms apart: the last waits for all before it.
    assert latencies[-1] > 10 * 0.015
    assert outcome.unanswered == outcome.broken == outcome.shed == 0


async def test_shedding_is_told_from_scoring() -> None:
    """A 503 is shed, not good, and whether it says when to come again is counted."""
    outcome = await _offer(_answer("503 Service Unavailable", 0), rate=100, seconds=0.1)
    assert outcome.shed == outcome.retry_after == 10
    assert 200 not in outcome.latencies


async def test_an_answer_is_read() -> None:
    """An answer of 200 with the wrong body is wrong, not good."""
    outcome = await _offer(_answer("200 OK", 0), rate=100, seconds=0.1, check=lambda *_: False)
    assert outcome.wrong == 10
    assert 200 not in outcome.latencies


async def test_a_connection_that_the_server_closes_is_replaced() -> None:
    """A server that says `Connection: close` gets the next request over another one."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await _close(writer)

    outcome = await _offer(answer_once, rate=100, seconds=0.1)
    assert outcome.shed == 10
    assert outcome.broken == outcome.unanswered == 0


async def test_a_lost_connection_is_counted() -> None:
    """A server that hangs up on a request breaks it; what waits stays unanswered."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await _close(writer)

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        outcome = await openloop.offer(
            server.sockets[0].getsockname()[1],
            [openloop.request("/", b"{}")],
            openloop.evenly(20, 0.1),
            connections=1,
            check=_is_empty,
            patience_seconds=0.2,
        )
    assert outcome.broken == 1
    assert outcome.unanswered == outcome.scheduled - 1
