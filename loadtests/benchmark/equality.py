"""Scores over HTTP against the scores expected: before anything is timed, they must be equal.

Rows go out over many connections at once, so that whatever batches is batching.
"""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_TIMEOUT_SECONDS = 30
_CONNECTIONS = 16


class Different(Exception):
    """A server answered something else than the model's own score."""


def post(port: int, path: str, bodies: Sequence[bytes], key: str = "") -> list[Any]:
    """Send bodies over several connections at once; give the decoded answers, in order.

    `key`: sent as a bearer token, if there is one. Raises Different for a status that is not 200.
    """

    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"

    def send(part: Sequence[bytes]) -> list[Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
        answers = []
        try:
            for body in part:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                text = response.read()
                if response.status != 200:
                    raise Different(f"{path} answered {response.status}: {text[:300]!r}")
                answers.append(json.loads(text))
        finally:
            connection.close()
        return answers

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        parts = list(pool.map(send, [bodies[start::_CONNECTIONS] for start in range(_CONNECTIONS)]))
    return [parts[place % _CONNECTIONS][place // _CONNECTIONS] for place in range(len(bodies))]


def largest_difference(
    answers: Sequence[Any], scores_of: Callable[[Any], list[float]], expected: Sequence[float]
) -> float:
    """Give the largest difference of a score from the expected one. Raises Different.

    Different is for a wrong number of scores or one that is no number: there is no
    difference to speak of then.
    """
    actual = [score for answer in answers for score in scores_of(answer)]
    if len(actual) != len(expected):
        raise Different(f"{len(actual)} scores for {len(expected)} rows")
    if not all(isinstance(score, int | float) and math.isfinite(score) for score in actual):
        raise Different("a score is not a number")
    return max(abs(one - other) for one, other in zip(actual, expected, strict=True))
