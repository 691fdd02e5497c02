"""The garbage collector after settling."""

from __future__ import annotations

import subprocess
import sys


def test_settling_takes_the_heap_out_of_sight() -> None:
    """After settling, a full collection walks next to nothing, and cycles still go."""
    code = """
import gc, weakref
from bentos.serving import garbage
class Node: pass
garbage.settle()
assert gc.get_freeze_count() > 1_000, gc.get_freeze_count()
assert len(gc.get_objects()) < 500, len(gc.get_objects())
node = Node(); node.itself = node; seen = weakref.ref(node)
del node
gc.collect()
assert seen() is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)
