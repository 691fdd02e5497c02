"""Outcomes on their way to the store: one thread a worker, asked and waited for.

Unlike predictions, an outcome is accepted only when the store has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from bentos.errors import StoreDown
from bentos.model.contract import Contract, load
from bentos.records.record import OutcomeStatus
from bentos.records.store import Store

T = TypeVar("T")


class Feedback:
    """Looks predictions up and stores outcomes. Raises StoreDown where the store cannot."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._contracts: dict[tuple[str, str], Contract | None] = {}
        # A store belongs to one thread: this is it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tabserve-feedback")

    async def find(self, ids: Sequence[str]) -> dict[str, Contract | None]:
        """The contract under which each stored prediction was made, by its id.

        None where the store knows the prediction, but not its model.
        """
        return await self._run(lambda: self._work(lambda store: self._find(store, ids)))

    async def write(self, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
        """Store outcomes `(id, outcome, request_id)`; gives for each what became of it."""
        return await self._run(lambda: self._work(lambda store: store.write_outcomes(outcomes)))

    @property
    def gather_seconds(self) -> float:
        """How long a prediction may wait for others before it is written; 0 before any look."""
        return 0.0 if self._store is None else self._store.gather_seconds

    def close(self) -> None:
        """Let go of the store."""
        self._thread.submit(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _work(self, act: Callable[[Store], T]) -> T:
        try:
            return act(self._prepared())
        except StoreDown:
            # What is there next time may be another log: it is prepared anew.
            self._close()
            raise

    def _prepared(self) -> Store:
        if self._store is None:
            store = self._open_store()
            store.prepare()
            self._store = store
        return self._store

    def _find(self, store: Store, ids: Sequence[str]) -> dict[str, Contract | None]:
        found = store.find(ids)
        for model, version in set(found.values()) - set(self._contracts):
            registration = store.registration(model, version)
            if registration is not None:
                self._contracts[model, version] = load(bytes(registration.document))
        return {name: self._contracts.get(made_by) for name, made_by in found.items()}

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with suppress(StoreDown):
                store.close()
