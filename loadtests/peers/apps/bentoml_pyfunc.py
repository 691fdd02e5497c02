"""BentoML as it comes, before anything is made faster: MLflow's pyfunc behind an endpoint.

A frame of one row for every call, no batching, nothing installed beside BentoML. The
model is the one that `mlflow_model.py` wrote into the folder where this runs.
"""

from __future__ import annotations

import bentoml
import mlflow
import pandas as pd

from loadtests.peers.apps import scoring

MODEL = scoring.load()
Row = MODEL.row_type()
Answer = MODEL.answer_type()


# Access logging is off, as with every peer; the rest is as BentoML comes.
@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Pyfunc:
    """The model as MLflow runs it."""

    def __init__(self) -> None:
        self.pyfunc = mlflow.pyfunc.load_model("model")
        self.model = scoring.load()

    # The annotations are made from the model's features, so no type checker can know them.
    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, rows: list[Row]) -> list[Answer]:  # type: ignore[valid-type]
        """Score the rows of one request."""
        scores = self.pyfunc.predict(pd.DataFrame([vars(row) for row in rows]))
        return [Answer(**self.model.answer(score)) for score in scores]
