"""What a fault is: what is done, how it is proved to hold, and the promise that is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.faults.rig import Kind, Rig

# Whether the fault holds: asked again and again while it should.
Proof = Callable[[], bool]
Do = Callable[[Rig], AbstractContextManager[Proof]]


class Fault(NamedTuple):
    """One fault and its promise.

    `do`: a context in which the fault holds. `seconds`: how long it holds at least. `good`: the
    least share of requests sent meanwhile that get 200. `prompt`: the least share that get any
    answer within a second. `may_lose_seconds`: rows answered this long before the fault may be
    missing, uncounted; None: exactly as many rows are missing as a metric counts.
    `with_postgresql`: what holds besides where the log is in PostgreSQL. `settings` and
    `per_second`: of the service and of the load.
    """

    name: str
    promise: str
    do: Do
    seconds: float = 4.0
    good: float = 1.0
    prompt: float = 0.9
    may_lose_seconds: float | None = 0.0
    kinds: tuple[Kind, ...] = ("postgresql", "sqlite")
    needs_disk: bool = False
    with_postgresql: str = ""
    settings: Mapping[str, str] = {}
    per_second: float = 80.0

    def title(self, kind: Kind) -> str:
        """What was done, where the log is of a kind."""
        if kind == "postgresql" and self.with_postgresql:
            return f"{self.name}, {self.with_postgresql}"
        return self.name
