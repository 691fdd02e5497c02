"""What an answer must be: status, shape, and the model's own score where it is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from loadtests.traffic.client import Reply
from loadtests.traffic.rows import Sample

Scores = Callable[[Any], list[float]]

_PROBLEM = b"application/problem+json"


class Wrong(Exception):
    """An answer is not what it must be; the message is one of few, so it can be counted."""


def require_scores(reply: Reply, samples: Sequence[Sample], scores_of: Scores) -> None:
    """Check the answer to rows: a score for each, the known ones to the last bit. Raises Wrong."""
    if reply.status != 200:
        raise Wrong(f"status {reply.status}")
    scores = _read(reply, scores_of)
    if len(scores) != len(samples):
        raise Wrong("wrong number of scores")
    for score, sample in zip(scores, samples, strict=True):
        if sample.score is None:
            if not (isinstance(score, float) and math.isfinite(score)):
                raise Wrong("a score is not a number")
        elif score != sample.score:
            raise Wrong("wrong score")


def require_prediction(document: Any) -> list[float]:
    """Give the score of one row's answer as tabserve's contract has it. Raises KeyError.

    Of several classes the last one's, as in the exported rows.
    """
    document["model"]["name"], document["model"]["version"]
    return [_require_score(document)]


def require_predictions(document: Any) -> list[float]:
    """Give the scores of a batch's answer as tabserve's contract has it. Raises KeyError."""
    document["model"]["name"], document["model"]["version"]
    return [_require_score(prediction) for prediction in document["predictions"]]


def _require_score(prediction: Any) -> float:
    """An id, and a score with its label, scores with theirs, or a regression's score alone."""
    prediction["id"]
    if "scores" not in prediction:
        score: float = prediction["score"]
        return score
    prediction["label"]
    scores: list[float] = list(prediction["scores"].values())
    return scores[-1]


def require_problem(reply: Reply, status: int) -> None:
    """Check that a mistake was answered as one: status, media type, where it is. Raises Wrong."""
    if reply.status != status:
        raise Wrong(f"status {reply.status}")
    if _PROBLEM not in reply.headers:
        raise Wrong("not a problem document")
    _read(reply, lambda document: [document["errors"][0]["pointer"], document["title"]])


def _read(reply: Reply, take: Callable[[Any], list[Any]]) -> list[Any]:
    try:
        document = json.loads(reply.body)
    except ValueError:
        raise Wrong("not JSON") from None
    try:
        return take(document)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise Wrong("wrong shape") from None
