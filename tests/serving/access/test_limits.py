"""What a client may use: requests, rows, and requests at a time."""

from __future__ import annotations

import threading
from time import perf_counter

import pytest

from bentos.errors import Problem
from bentos.serving.access.keys import KeyLimits
from bentos.serving.access.limits import Bucket, LimitedClient


def test_a_bucket_holds_its_rate() -> None:
    """After a burst of its capacity, tokens come at the rate."""
    bucket = Bucket(10, 2)
    now = perf_counter()
    taken = [bucket.take(1, now) for _ in range(25)]
    assert taken[:20] == [0.0] * 20 and all(wait > 0 for wait in taken[20:])
    later = [bucket.take(1, now + second / 100) for second in range(1, 1001)]
    # Ten seconds at ten a second.
    assert later.count(0.0) == 100


def test_a_request_of_more_than_the_capacity_leaves_a_debt() -> None:
    """It waits for a full bucket, is let in, and what it took too much is waited for."""
    bucket = Bucket(100, 1)
    now = perf_counter()
    assert bucket.take(1000, now) == 0.0
    # 900 too many at 100 a second, and one more for the next.
    assert bucket.take(1, now) == pytest.approx(9.01)
    assert bucket.take(0, now) == pytest.approx(9.0)
    assert bucket.take(1, now + 9.02) == 0.0
    assert bucket.take(1000, now + 9.02) == pytest.approx(1.0, abs=0.02)


def test_a_slow_rate_lets_one_in() -> None:
    """Less than one a second still has a capacity of one."""
    bucket = Bucket(0.1, 1)
    now = perf_counter()
    assert (bucket.take(1, now), round(bucket.take(1, now))) == (0.0, 10)


def test_threads_take_no_token_twice() -> None:
    """Rows that threads count are missing to the event loop from then on."""
    bucket = Bucket(0.01, 100_000)
    counts: list[int] = []

    def take() -> None:
        now = perf_counter()
        counts.append(sum(bucket.take_in_thread(1, now) == 0.0 for _ in range(500)))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 1000
    assert bucket.take(1, perf_counter()) > 0


def refusal_of(client: LimitedClient) -> Problem:
    """How a client is refused."""
    with pytest.raises(Problem) as refused:
        client.enter(perf_counter())
    return refused.value


def test_requests_at_a_time() -> None:
    """A client that has as many requests as it may gets room when one of them ends."""
    client = LimitedClient("ben", "ben", KeyLimits(concurrency=2))
    client.enter(perf_counter())
    client.enter(perf_counter())
    refused = refusal_of(client)
    assert (refused.kind, int(refused.status)) == ("rate-limited", 429)
    assert refused.headers == {"Retry-After": "1"}
    client.leave()
    client.enter(perf_counter())


def test_a_debt_of_rows_refuses_before_the_body() -> None:
    """The next request is told how long to wait, and costs no token of its requests."""
    # A token of requests comes back in a tenth of a second, which these calls do not take.
    client = LimitedClient("ben", "ben", KeyLimits(10, 10, 1))
    client.enter(perf_counter())
    client.charge(100, perf_counter())
    refused = refusal_of(client)
    assert refused.headers == {"Retry-After": "9"}
    (name, left), (_, policy) = client.write_limits(perf_counter())
    assert name == b"ratelimit"
    assert left == b'"requests";r=9;t=1, "rows";r=0;t=10'
    assert policy == b'"requests";q=10;w=1, "rows";q=10;w=1;tabserve-unit="rows"'


def test_no_limits_no_headers() -> None:
    """A key without limits is never refused, and its answers say nothing of limits."""
    client = LimitedClient("ben", "ben", KeyLimits())
    for _ in range(1000):
        client.enter(perf_counter())
        client.charge(10_000, perf_counter())
    assert client.write_limits(perf_counter()) == ()
