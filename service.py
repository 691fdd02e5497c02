"""The BentoML service: wiring only. `bentoml serve .` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from bentos import logs, settings
from bentos.errors import ConfigurationError
from bentos.model import dependencies, naming, store
from bentos.records.writer.log import Log
from bentos.serving import garbage, supervision
from bentos.serving.composition import (
    as_service_error,
    behind,
    explain_value,
    record_values,
    score_value,
    score_values,
)
from bentos.serving.exposition import directory
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.worker import Worker

garbage.prepare()
try:
    SETTINGS = settings.read()
    PROJECT = Path(__file__).resolve().parent
    TAG = naming.resolve(store.find_tag(SETTINGS, PROJECT))
    dependencies.require(TAG, PROJECT / "bentos" / "requirements.txt")
    directory.join_directory()
    supervision.join()
    WORKER = Worker(SETTINGS, Metrics(), Log(SETTINGS))
except ConfigurationError as error:
    raise SystemExit(f"tabserve: {error}") from None


@bentoml.service(
    name="tabserve",
    service_class=behind(WORKER),
    workers=SETTINGS.workers,
    # Our routes do these themselves; BentoML's metrics are labelled by raw path, without bound.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class TabularModel:
    """Scores rows of named features with one MLflow model."""

    stored = bentoml.models.BentoModel(TAG)

    def __init__(self) -> None:
        logs.configure(SETTINGS.log_level)
        WORKER.load(lambda: store.open_model(self.stored), bentoml.server_context.worker_index or 1)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # BentoML has no types for it
    def share_metrics() -> None:
        directory.start_directory()
        supervision.watch_workers(SETTINGS.log_level)

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML has no types for it
    async def prove(self) -> None:
        WORKER.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML has no types for it
    async def leave(self) -> None:
        await WORKER.stop()

    def __is_ready__(self) -> bool:
        return WORKER.readiness.is_ready

    @bentoml.api(route="/v1/predict")  # type: ignore[untyped-decorator]  # the same
    async def predict(self, row: dict[str, Any], /) -> dict[str, Any]:
        """Score one row of named features."""
        with as_service_error():
            return await score_value(WORKER, row)

    @bentoml.api(route="/v1/explain")  # type: ignore[untyped-decorator]  # the same
    async def explain(self, row: dict[str, Any], /) -> dict[str, Any]:
        """Score one row of named features and explain the score."""
        with as_service_error():
            return await explain_value(WORKER, row)

    @bentoml.api(route="/v1/predict/batch")  # type: ignore[untyped-decorator]  # the same
    async def predict_batch(self, instances: list[Any]) -> dict[str, Any]:
        """Score many rows; a row with faults gets an error in its place."""
        with as_service_error():
            return await score_values(WORKER, instances)

    @bentoml.api(route="/v1/feedback")  # type: ignore[untyped-decorator]  # the same
    async def feedback(self, outcomes: list[Any], /) -> dict[str, Any]:
        """Record what turned out to be true of predictions."""
        with as_service_error():
            return await record_values(WORKER, outcomes)
