"""Explanations beside the scores: one at a time, on a thread that gives way to everything else.

An explanation takes hundreds of times as long as its score, all of it inside LightGBM and without
the interpreter's lock. So there is one thread for them, which the system runs where nobody else
needs the processor; a request may have few rows, and few requests wait.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bentos.errors import Problem
from bentos.logs import LOGGER
from bentos.model.explanation.contributions import NotAdditive
from bentos.model.explanation.explainer import Explanation
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow
from bentos.protocols.explain import Wish
from bentos.serving.connections.run import in_task
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.inference import BatchResult
from bentos.serving.readiness import RETRY_AFTER
from bentos.settings import Settings

# Requests that are explained or wait for it. At a hundred rows each, of a model whose rows take a
# millisecond, the last one waits for a second and a half.
MOST_AT_ONCE = 16

# About a tenth of the processor where scores need it, all of it where none do (sched(7)).
_NICENESS = 10
_LOWEST = 19


def require_explainable(model: LoadedModel) -> None:
    """Raise Problem where the scores of a model cannot be explained."""
    if model.explainer.obstacle is not None:
        raise Problem(
            "not-explainable", f"this model's scores are not explained: {model.explainer.obstacle}"
        )


class Explaining:
    """Explains the answered rows of one worker. Only for the event loop's thread."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.max_rows = min(settings.explain_max_rows, settings.max_rows)
        self._timeout_seconds = settings.timeout_seconds
        self._metrics = metrics
        self._now = 0
        # Its thread begins with the first explanation.
        self._pool = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="tabserve-explain", initializer=_give_way
        )

    def require_room(self) -> None:
        """Raise Problem where as many requests wait for explanations as may."""
        if self._now >= MOST_AT_ONCE:
            raise Problem(
                "overloaded",
                "this worker holds as many explanations as it may: try again later",
                headers=RETRY_AFTER,
                shed="explanations",
            )

    async def attach(self, model: LoadedModel, result: BatchResult, wish: Wish) -> None:
        """Give the scored rows of a result their explanations. Raises Problem, TimeoutError.

        Where one is wrong, the result's reply is the problem that says so.
        """
        try:
            explained = await self._explain(model, result.rows, result.scored, wish)
        except NotAdditive as error:
            self._metrics.observe_violation(error.check)
            # One line without a trace: nothing failed on the way, the explanation itself is wrong.
            LOGGER.error(f"a wrong explanation was held back: {error}")
            result.reply = Problem("wrong-explanation", f"{error}; it was held back")
            return
        result.reasons = [
            None if one.reasons is None else tuple(reason.code for reason in one.reasons)
            for one in explained
        ]
        self._metrics.observe_explained(
            len(explained), [code for codes in result.reasons for code in codes or ()]
        )
        following = iter(explained)
        result.results.explanations = [
            next(following) if isinstance(one, Scored) else None for one in result.results.outcomes
        ]

    async def _explain(
        self,
        model: LoadedModel,
        rows: Sequence[EncodedRow],
        scored: Sequence[Scored],
        wish: Wish,
    ) -> list[Explanation]:
        # Where nobody waits any more, the thread stops after the rows that it is at.
        self.require_room()
        is_left = threading.Event()
        work = partial(
            model.explainer.explain,
            rows,
            scored,
            has_all_reasons=wish.has_all_reasons,
            is_wanted=lambda: not is_left.is_set(),
        )
        await in_task()
        working = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._now += 1
        working.add_done_callback(self._release)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(working)
        finally:
            is_left.set()

    def stop(self) -> None:
        """Explain no more; what is being explained ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _release(self, working: asyncio.Future[list[Explanation]]) -> None:
        self._now -= 1
        if not working.cancelled():
            # Its caller may have left: an error that is never read would be logged.
            working.exception()


def _give_way() -> None:
    # Of this thread alone, which only Linux can: there a thread's id is a process's.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # Below what the worker has: a priority can be lowered by anybody, and never raised.
        own = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(_LOWEST, own + _NICENESS))
