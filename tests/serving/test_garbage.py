"""The garbage collector after settling."""

from __future__ import annotations

import subprocess
import sys

import pytest


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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc alone can give back")
def test_what_a_start_has_freed_goes_back() -> None:
    """After settling, the memory of a model's text and its parts is no longer the process's."""
    code = """
from pathlib import Path
from bentos.serving import garbage
def resident(): return int(Path("/proc/self/statm").read_text().split()[1])
garbage.prepare()
garbage.settle()
before = resident()
lines = [bytes(1_000) for _ in range(40_000)]
kept = bytes(1_000)
held = resident()
del lines
garbage.settle()
assert held > before + 9_000, (before, held)
assert resident() < before + 1_000, (before, held, resident())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
