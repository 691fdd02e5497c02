"""What counts as a good answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadtests.traffic.answer import (
    Wrong,
    require_prediction,
    require_predictions,
    require_problem,
    require_scores,
)
from loadtests.traffic.client import Reply
from loadtests.traffic.rows import Sample

MODEL = {"name": "m", "version": "1"}
GOOD = {"id": "1", "model": MODEL, "score": 0.25, "label": 0}


def _reply(document: Any, status: int = 200, headers: bytes = b"") -> Reply:
    return Reply(status, headers, json.dumps(document).encode())


def test_a_good_answer_passes() -> None:
    """Status, shape and the score to the last bit."""
    require_scores(_reply(GOOD), [Sample({}, 0.25)], require_prediction)
    require_scores(_reply(GOOD), [Sample({})], require_prediction)
    batch = {"model": MODEL, "predictions": [GOOD, GOOD]}
    require_scores(_reply(batch), [Sample({}, 0.25)] * 2, require_predictions)


def test_every_task_has_its_answer() -> None:
    """A regression has no label; of several classes the last one's score is compared."""
    regression = {"id": "1", "model": MODEL, "score": 7.5}
    require_scores(_reply(regression), [Sample({}, 7.5)], require_prediction)
    several = {"id": "1", "model": MODEL, "scores": {"a": 0.75, "b": 0.25}, "label": "a"}
    require_scores(_reply(several), [Sample({}, 0.25)], require_prediction)
    with pytest.raises(Wrong, match="wrong shape"):
        require_scores(
            _reply({**several, "label": 1} | {"scores": []}), [Sample({})], require_prediction
        )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (_reply(GOOD, status=503), "status 503"),
        (Reply(200, b"", b"{"), "not JSON"),
        (_reply({"score": 0.25}), "wrong shape"),
        (_reply([1]), "wrong shape"),
        (_reply({**GOOD, "score": 0.25 + 2**-54}), "wrong score"),
        (_reply({**GOOD, "score": None}), "wrong score"),
    ],
)
def test_anything_else_is_wrong(reply: Reply, reason: str) -> None:
    """An answer of 200 is not yet a good one."""
    with pytest.raises(Wrong, match=reason):
        require_scores(reply, [Sample({}, 0.25)], require_prediction)


def test_a_row_in_error_is_no_score() -> None:
    """A batch with an error in the place of a row that was good is wrong."""
    batch = {"model": MODEL, "predictions": [GOOD, {"error": {}}]}
    with pytest.raises(Wrong, match="wrong shape"):
        require_scores(_reply(batch), [Sample({}, 0.25)] * 2, require_predictions)
    with pytest.raises(Wrong, match="wrong number"):
        require_scores(_reply(batch | {"predictions": []}), [Sample({})], require_predictions)


def test_a_mistake_must_be_told() -> None:
    """A client's mistake is answered by a problem document that says where it is."""
    problem = {"title": "t", "errors": [{"pointer": "/a"}]}
    headers = b"content-type: application/problem+json"
    require_problem(_reply(problem, 422, headers), 422)
    for reply in (
        _reply(problem, 200, headers),
        _reply(problem, 422),
        _reply({"title": "t", "errors": []}, 422, headers),
    ):
        with pytest.raises(Wrong):
            require_problem(reply, 422)
