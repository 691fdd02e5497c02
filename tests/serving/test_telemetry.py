"""Handing over counts: in short turns of the event loop, and all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from prometheus_client import CollectorRegistry

from bentos.records.writer.log import Log
from bentos.serving.body import BodyBudget
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.readiness import Readiness
from bentos.serving.telemetry import Telemetry
from bentos.settings import Settings

PATIENCE_SECONDS = 20
CODES = [f"reason-{number}" for number in range(20)]


class Slow(Metrics):
    """Metrics that take a millisecond for each part of what they hand over."""

    def parts(self) -> Iterator[Callable[[], None]]:
        """The same parts, each after a millisecond."""
        for part in super().parts():
            sleep(0.001)
            yield part


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings without logs."""
    return Settings(access_log=False, data_dir=tmp_path, store_url="none")  # type: ignore[call-arg, arg-type]  # has defaults, and pydantic makes it a secret


async def test_answers_come_between_the_parts(settings: Settings) -> None:
    """However much there is to hand over, the event loop has turns in between, and all arrives."""
    registry = CollectorRegistry()
    metrics = Slow(registry)
    readiness = Readiness(settings, metrics)
    telemetry = Telemetry(settings, metrics, Log(settings), BodyBudget(1000), readiness)
    metrics.observe_explained(len(CODES), CODES)

    def arrived() -> int:
        labels = [{"code": code} for code in CODES]
        return sum(registry.get_sample_value("tabserve_reasons_total", one) == 1 for one in labels)

    telemetry.start()
    turns, until = set(), monotonic() + PATIENCE_SECONDS
    while arrived() < len(CODES) and monotonic() < until:
        await asyncio.sleep(0)
        turns.add(arrived())
    telemetry.stop()
    assert arrived() == len(CODES)
    # At once, a turn would see none of them or all.
    assert len(turns) > len(CODES) / 2
