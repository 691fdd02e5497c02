"""BentoML as its documentation shows it: a `batchable=True` endpoint with pydantic rows."""

from __future__ import annotations

import bentoml

from loadtests.peers.apps import scoring

MODEL = scoring.load()
Row = MODEL.row_type()
Answer = MODEL.answer_type()


# Access logging is off, as with every peer; the rest is as BentoML comes.
@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Stock:
    """The model behind BentoML's own adaptive batching."""

    def __init__(self) -> None:
        self.model = scoring.load()

    # The annotations are made from the model's features, so no type checker can know them.
    @bentoml.api(batchable=True, max_batch_size=1024, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def predict(self, rows: list[Row]) -> list[Answer]:  # type: ignore[valid-type]
        """Score the rows of one batch."""
        scores = self.model.score([vars(row) for row in rows])
        return [Answer(**self.model.answer(score)) for score in scores]
