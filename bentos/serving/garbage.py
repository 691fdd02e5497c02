"""The worker's heap: keeps the garbage collector from stalling requests, and memory small."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

# Allocations between collections of the youngest objects. Python's 700 would walk the
# objects of every few requests; a request leaves no cycles behind, so what a collection
# finds is rare (errors with their tracebacks, closed connections).
_YOUNGEST = 50_000

# glibc's malloc.h.
_M_ARENA_MAX = -8


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


def _collect_rarely() -> None:
    gc.set_threshold(_YOUNGEST, 20, 20)


def _call(name: str, *numbers: int) -> None:
    # Only glibc has these: musl and other systems keep what their own allocator does.
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*numbers)
