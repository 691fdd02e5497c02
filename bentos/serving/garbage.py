"""The worker's heap: keeps the garbage collector from stalling requests."""

from __future__ import annotations

import gc

# Allocations between collections of the youngest objects. Python's 700 would walk the
# objects of every few requests; a request leaves no cycles behind, so what a collection
# finds is rare (errors with their tracebacks, closed connections).
_YOUNGEST = 50_000


def settle() -> None:
    """Exempt every object that exists now from garbage collection, and collect less often.

    A full collection walks the whole heap, some hundred milliseconds with numpy, pydantic
    and friends loaded. After this it walks only what requests have made since.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST, 20, 20)
