"""The worker's heap: keeps the garbage collector from stalling requests, and memory small."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
from collections.abc import Callable

# Allocations between collections of the youngest objects. Python's 700 would walk the
# objects of every few requests; a request leaves no cycles behind, so what a collection
# finds is rare (errors with their tracebacks, closed connections).
_YOUNGEST = 50_000

# glibc's malloc.h.
_M_ARENA_MAX = -8

# How often a worker looks how much memory it took from the system, and how much that must be: to
# give 20 MB back takes 2 ms, and more when the pages are needed again. Once a second cost a model
# of 200 features some percent of its batches.
_LOOK_SECONDS = 5.0
_TAKEN_BYTES = 4 * 2**20


def prepare() -> None:
    """Set up the heap before the model is loaded and threads are started.

    Collections are rare from here on: MLflow's imports make a million objects, and walking them
    again and again was a fifth of their time. All threads take memory from one arena: glibc
    gives each its own, and what one has freed the others cannot use. Python's lock keeps them
    from waiting for each other there.
    """
    _collect_rarely()
    _call("mallopt", _M_ARENA_MAX, 1)


def settle() -> None:
    """Exempt every object that exists now from garbage collection, and collect less often.

    A full collection walks the whole heap, some hundred milliseconds with numpy, pydantic
    and friends loaded. After this it walks only what requests have made since. What the
    start has freed (texts of models, rows of proofs) goes back to the system.
    """
    gc.collect()
    gc.freeze()
    _collect_rarely()
    _call("malloc_trim", 0)


def release() -> None:
    """Have objects that `settle` exempted collected again, when this worker stops.

    A process that ends with them says for each model that lignum has leaked it.
    """
    gc.unfreeze()


class Keeper:
    """Gives back what requests have freed, while the worker runs.

    glibc returns only the end of its heap by itself: one small object that stays above the
    buffers of large requests keeps all of them. Only for the event loop's thread.
    """

    def __init__(self) -> None:
        self._faults = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look every few seconds from now on."""
        self._faults = _count_faults()
        self._look_later()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Give back, where pages were taken since the last time: else there is nothing new."""
        if (_count_faults() - self._faults) * resource.getpagesize() >= _TAKEN_BYTES:
            _call("malloc_trim", 0)
            self._faults = _count_faults()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self.look()
        self._look_later()


def _count_faults() -> int:
    """How often a page of memory was taken from the system; each is in memory from then on."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _collect_rarely() -> None:
    gc.set_threshold(_YOUNGEST, 20, 20)


def _call(name: str, *numbers: int) -> None:
    # Only glibc has these: musl and other systems keep what their own allocator does.
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*numbers)
