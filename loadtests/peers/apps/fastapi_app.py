"""FastAPI as a careful user writes it: strict pydantic rows, `Booster.predict`, async routes.

The routes are `async` because one row takes tens of microseconds: FastAPI's thread pool,
which plain functions go through, costs more than that.
Answers are checked against a return type, as FastAPI's own documentation advises.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from loadtests.peers.apps import scoring

MODEL = scoring.load()
Row = MODEL.row_type()
Answer = MODEL.answer_type()
app = FastAPI()


class Batch(BaseModel):
    """Many rows."""

    model_config = ConfigDict(strict=True, extra="forbid")
    instances: list[Row]  # type: ignore[valid-type]  # made from the model's features


class Answers(BaseModel):
    """Many answers, in the order of the rows."""

    predictions: list[Answer]  # type: ignore[valid-type]  # made from the model's task


@app.get("/readyz")
async def readyz() -> str:
    """Answer once the model is loaded."""
    return "ready"


@app.post("/v1/predict")
async def predict(row: Row) -> Answer:  # type: ignore[valid-type]  # both are made from the model
    """Score one row."""
    score = MODEL.score([vars(row)])[0]
    return Answer(**MODEL.answer(score))


@app.post("/v1/predict/batch")
async def predict_batch(batch: Batch) -> Answers:
    """Score many rows with one call of the model."""
    scores = MODEL.score([vars(row) for row in batch.instances])
    return Answers(predictions=[Answer(**MODEL.answer(score)) for score in scores])
