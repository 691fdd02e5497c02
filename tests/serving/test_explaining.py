"""Explanations run on a thread that gives way, and stop where nobody waits."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import bentoml
import msgspec
import pytest

from bentos.errors import IntegrityError
from bentos.model import golden, store
from bentos.model.explanation.contributions import Contributor, Parts
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow
from bentos.protocols.explain import Wish
from bentos.protocols.protocol import Results
from bentos.serving.explaining import Explaining
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.inference import BatchResult
from bentos.settings import Settings


@pytest.fixture(scope="module")
def model(imported: dict[str, str]) -> LoadedModel:
    """The binary model, loaded."""
    stored = store.open_model(bentoml.models.get(imported["binary"]))
    return LoadedModel(stored, Settings())  # type: ignore[call-arg]  # has defaults


def result_of(model: LoadedModel, count: int) -> BatchResult:
    """Some rows, scored and not encoded."""
    rows = golden.encode_rows(model.golden, model.reader.read_row)[:1] * count
    scored = model.scorer.score(rows).scored
    ids = [str(number) for number in range(count)]
    return BatchResult(Results(ids, scored), count, ids, rows, scored)


def test_a_swapped_booster_explains_nothing(tmp_path: Path, model: LoadedModel) -> None:
    """The text is read when the first row is explained: one changed since is refused."""
    folder = tmp_path / "model"
    shutil.copytree(model.stored.folder, folder)
    swapped = LoadedModel(msgspec.structs.replace(model.stored, folder=folder), Settings())  # type: ignore[call-arg]  # has defaults
    (folder / FOLDER / BOOSTER).write_text("tree\nversion=v4\n")
    result = result_of(swapped, 1)
    with pytest.raises(IntegrityError, match="was changed after the model was imported"):
        swapped.explainer.explain(result.rows, result.scored)


class Watched(Contributor):
    """A contributor that says on which thread it works, and takes its time."""

    nices: Sequence[int] = ()
    calls = 0

    def explain(
        self,
        rows: Sequence[EncodedRow],
        scored: Sequence[Scored],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> list[Parts]:
        self.nices = [*self.nices, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())]
        explained: list[Parts] = []
        for row, one in zip(rows, scored, strict=True):
            time.sleep(0.05)
            explained += super().explain([row], [one], is_wanted)
            self.calls += 1
        return explained


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has threads of low priority")
def test_it_gives_way_and_stops(model: LoadedModel) -> None:
    """Its thread has a low priority, the caller's keeps its own; a timeout ends the work."""
    text = model.stored.read("tabserve/booster.txt").decode()
    watched = Watched(model.contract, text)
    model.explainer._contributor = watched
    settings = Settings(timeout_seconds=0.5)  # type: ignore[call-arg]  # has defaults
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def work() -> None:
        explaining = Explaining(settings, Metrics())
        few = result_of(model, 2)
        await explaining.attach(model, few, Wish())
        assert len(few.results.explanations) == 2
        with pytest.raises(TimeoutError):
            await explaining.attach(model, result_of(model, 100), Wish())
        done = watched.calls
        # The thread ends by itself, and is free for the next one.
        await explaining.attach(model, result_of(model, 1), Wish())
        assert watched.calls <= done + 4
        explaining.stop()

    asyncio.run(work())
    assert set(watched.nices) == {min(19, before + 10)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
