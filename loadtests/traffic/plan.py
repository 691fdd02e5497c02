"""Load plans: who calls, how many at a time or how often, for how long.

A closed stage keeps `users` busy: each sends its next request when it has its answer. An
open stage lets requests arrive at `rate` a second whatever the server does, and `users` is
then the number of connections that they can take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["predict", "batch", "mixed"]

# Shorter, and Locust, which looks once a second whether a stage is over, would skip it.
_SHORTEST_SECONDS = 2.0
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Stage:
    """One stage of a plan.

    `rate`: arrivals a second; 0 is a closed loop. `share`: the same as a share of the most
    good answers a second that a closed stage of this run has had. An open stage with a
    `rate` above that peak is left out: its numbers would tell how long it lasted.
    `is_measured`: whether its numbers are for a report; failures count in any case.
    """

    name: str
    seconds: float
    users: int
    kind: Kind = "predict"
    rate: float = 0.0
    share: float = 0.0
    is_measured: bool = True

    @property
    def is_open(self) -> bool:
        """Whether requests arrive by a schedule."""
        return self.rate > 0 or self.share > 0


def _warm_up(seconds: float = 3.0) -> Stage:
    # BentoML's dispatcher learns from its first batches, and Python's caches fill.
    return Stage("warm-up", seconds, users=16, is_measured=False)


def _peak(seconds: float = 10.0) -> Stage:
    # 32 connections: more of them bring no more throughput, only longer queues.
    return Stage("peak", seconds, users=32)


PLANS: dict[str, tuple[Stage, ...]] = {
    # Does everything work, alone and together? Half a minute.
    "smoke": (
        _warm_up(2.0),
        Stage("predict", 6.0, users=8),
        Stage("batch", 4.0, users=2, kind="batch"),
        Stage("mixed", 6.0, users=8, kind="mixed"),
        Stage("open", 6.0, users=32, rate=200.0),
    ),
    # Latency and throughput over load: what a comparison runs on each profile.
    "step": (
        _warm_up(),
        *(Stage(f"{users} at once", 8.0, users=users) for users in (1, 4, 16, 64, 256)),
        *(Stage(f"{rate:,}/s", 8.0, users=256, rate=rate) for rate in (100, 1000, 4000, 8000)),
    ),
    # Five times the usual traffic for some seconds, and whether it leaves anything behind.
    "spike": (
        _warm_up(),
        _peak(),
        Stage("before", 15.0, users=256, share=0.3),
        Stage("spike", 5.0, users=256, share=1.5),
        Stage("after", 15.0, users=256, share=0.3),
    ),
    # Traffic that does not wait for answers, up to nearly all that can be served.
    "open": (
        _warm_up(),
        _peak(),
        *(
            Stage(f"{share:.0%} of peak", 10.0, users=256, share=share)
            for share in (0.25, 0.5, 0.7, 0.9)
        ),
    ),
    # The load of a good day, long enough for memory to show where it goes.
    "soak": (
        _warm_up(),
        _peak(),
        # Memory still grows while every buffer and cache is filled for the first time.
        Stage("settling", 30.0, users=256, share=0.7, is_measured=False),
        Stage("soak", 300.0, users=256, share=0.7),
    ),
}


class Course:
    """Where a run is in its plan; `scale` stretches or shortens every stage."""

    def __init__(self, stages: Sequence[Stage], scale: float = 1.0) -> None:
        self._waiting: list[Stage] = []
        for stage in stages:
            if self._waiting and self._waiting[-1].kind != stage.kind:
                # Locust leaves users that it has: those of another kind go first.
                self._waiting.append(Stage("pause", _PAUSE_SECONDS, users=0, kind=stage.kind))
            seconds = max(_SHORTEST_SECONDS, stage.seconds * scale)
            self._waiting.append(replace(stage, seconds=seconds))
        self._stage: Stage | None = None
        self._ends = 0.0

    def is_over(self, now: float) -> bool:
        """Whether the present stage has had its time."""
        return self._stage is not None and now >= self._ends

    def move(self, now: float, peak: float) -> Stage | None:
        """Give the stage for this moment, its rate settled; None when all is done.

        `now`: seconds, on any clock that does not jump. `peak`: good answers a second, the
        most so far.
        """
        if self._stage is not None and now < self._ends:
            return self._stage
        self._stage = None
        while self._waiting:
            stage = self._waiting.pop(0)
            if stage.share:
                stage = replace(stage, rate=stage.share * peak, share=0.0)
                if not stage.rate:
                    # Nothing was answered so far: there is no share of it.
                    continue
            elif stage.rate > peak:
                continue
            self._stage, self._ends = stage, now + stage.seconds
            break
        return self._stage
