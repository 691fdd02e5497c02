"""`/v1/predict/batch` in every format: the same scores, the same faults, negotiated."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.service import formats
from tests.service.driver import Answer, App
from tests.service.formats import ALL

PATH = "/v1/predict/batch"


def send(
    app: App, rows: Any, sent: str, accept: str = "", query: str = "", **headers: str
) -> Answer:
    """Send rows, or a body, as a media type."""
    body = rows if isinstance(rows, bytes) else formats.WRITE[sent](rows)
    accepted = {"accept": accept} if accept else {}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.request(
        "POST", PATH, body, headers={"content-type": sent, **accepted, **more}, query=query
    )


@pytest.mark.parametrize(("sent", "got"), [*itertools.product(ALL, ALL)])
def test_every_format_gives_the_same_scores(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64], sent: str, got: str
) -> None:
    """Rows in any format, answered in any: the model's own scores to the last bit, by id."""
    answer = send(app, rows, sent, got)
    assert answer.headers["content-type"] == got
    results = formats.read(answer)
    np.testing.assert_array_equal([one["scores"] for one in results], scores)
    assert [one["label"] for one in results] == (scores >= 0.4).astype(int).tolist()
    assert len({one["id"] for one in results}) == len(rows)
    assert [one["codes"] for one in results] == [[]] * len(rows)


@pytest.mark.parametrize("sent", ALL)
def test_a_bad_row_has_its_faults_by_number(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64], sent: str
) -> None:
    """A row with faults has them in its place, with pointers; the rest is scored."""
    bad = {**rows[1], "count": None, "colour": "marker-teal"}
    results = formats.read(send(app, [rows[0], bad, rows[2]], sent))
    assert results[1]["codes"] == [
        ("/1/colour", "unknown_category"),
        ("/1/count", "not_nullable"),
    ]
    assert results[1]["scores"] is None
    assert [results[0]["scores"], results[2]["scores"]] == [scores[0], scores[2]]
