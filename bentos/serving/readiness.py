"""Whether this worker may serve: the model it loaded, and the proofs it passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bentos.errors import Problem, TabserveError
from bentos.logs import LOGGER
from bentos.model import integrity
from bentos.model.loading import LoadedModel
from bentos.model.store import StoredModel
from bentos.serving import garbage
from bentos.serving.exposition.metrics import Metrics
from bentos.settings import Settings

RETRY_AFTER = {"Retry-After": "1"}


class Readiness:
    """The model of one worker, or the reason why the worker serves none."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._reason = "no model is loaded yet"
        self._proof: asyncio.Task[None] | None = None
        # The loaded model, proved or not: its description may be shown before it may score.
        self.loaded: LoadedModel | None = None

    @property
    def is_ready(self) -> bool:
        return not self._reason

    def require(self) -> LoadedModel:
        """Give the model that may be served. Raises Problem, saying why there is none."""
        if self.loaded is None or self._reason:
            raise self.problem()
        return self.loaded

    def problem(self) -> Problem:
        """Make the problem that says why this worker does not serve."""
        return Problem("not-ready", self._reason, headers=RETRY_AFTER)

    def refuse(self, error: TabserveError) -> None:
        """Keep the worker not ready, for a reason that has nothing to do with the model."""
        self._refuse(error, "")

    def load(self, open_model: Callable[[], StoredModel]) -> None:
        """Load the model and prove its golden rows on the serving path.

        Any error keeps the worker not ready; nothing is raised.
        """
        try:
            loaded = LoadedModel(open_model(), self._settings)
            loaded.prove()
        except Exception as error:
            self._refuse(error, "the model cannot be loaded")
            return
        stored = loaded.stored
        engine = loaded.engine
        golden = loaded.golden.scores
        self._metrics.announce(
            stored.name,
            stored.version,
            loaded.contract,
            engine.name,
            [score for scores in golden for score in scores],
            () if loaded.explainer.file is None else loaded.explainer.file.sentences,
        )
        if writers := integrity.find_writers(stored.folder):
            LOGGER.warning(f"the model's files can be changed by {writers}: chmod -R go-w them")
        if engine.reason:
            LOGGER.warning(f"served by the {engine.name}: {engine.reason}")
        self.loaded = loaded
        self._reason = "the golden rows are being scored with MLflow's own loader"

    def start(self) -> None:
        """Start the proof with MLflow's own loader; the worker is ready when it passes."""
        if self.loaded is not None:
            self._proof = asyncio.create_task(self._prove(self.loaded))

    async def _prove(self, loaded: LoadedModel) -> None:
        try:
            is_compared = await loaded.prove_with_mlflow()
        except Exception as error:
            self._refuse(error, "the golden rows cannot be checked")
            return
        garbage.settle()
        self._reason = ""
        self._metrics.set_ready(is_ready=True)
        fields = {
            "model": f"{loaded.stored.name}:{loaded.stored.version}",
            "contract": loaded.contract.hash[:12],
            "engine": loaded.engine.name,
            "golden_rows": len(loaded.golden.rows),
            "compared_with_mlflow": is_compared,
        }
        LOGGER.info("ready", extra={"fields": fields})

    def _refuse(self, error: Exception, unexpected: str) -> None:
        if isinstance(error, TabserveError):
            self._reason = str(error)
            LOGGER.error(f"not ready: {self._reason}")
        else:
            self._reason = f"{unexpected}: {type(error).__name__}"
            LOGGER.error(f"not ready: {self._reason}", exc_info=error)
        self._metrics.set_ready(is_ready=False)

    async def stop(self) -> None:
        """Cancel a running proof and end its process."""
        if self._proof is not None and not self._proof.done():
            self._proof.cancel()
            await asyncio.gather(self._proof, return_exceptions=True)
        self._metrics.set_ready(is_ready=False)
