"""The garbage collector after settling."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.store import StoredModel


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
@pytest.mark.parametrize("by", ["the start", "requests"])
def test_what_was_freed_goes_back(by: str) -> None:
    """Memory that was freed goes to the system, also from below one object that is kept."""
    code = """
import asyncio, sys
from pathlib import Path
from bentos.serving import garbage
def resident(): return int(Path("/proc/self/statm").read_text().split()[1])
async def main():
    garbage.prepare()
    garbage._LOOK_SECONDS = 0.2
    garbage.settle()
    keeper = garbage.Keeper()
    if sys.argv[1] == "requests":
        keeper.start()
    before = resident()
    lines = [bytes(1_000) for _ in range(40_000)]
    kept = bytes(1_000)
    held = resident()
    del lines
    if sys.argv[1] == "requests":
        await asyncio.sleep(0.5)
        keeper.stop()
    else:
        garbage.settle()
    assert held > before + 9_000, (before, held)
    assert resident() < before + 1_500, (before, held, resident())
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code, by], check=True)


def test_a_process_that_released_ends_without_a_word(stored: dict[str, StoredModel]) -> None:
    """lignum says that a model has leaked where it is still exempt when a process ends."""
    model = stored["binary"]
    code = """
import sys
from pathlib import Path
from bentos.model.engines.accelerated import AcceleratedPredictor
from bentos.serving import garbage
kept = AcceleratedPredictor(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]))
kept.itself = kept
garbage.settle()
"""
    arguments = [str(model.folder / FOLDER / BOOSTER), str(len(model.contract.features))]

    def said(code: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    assert "leaked" in said(code)
    assert said(f"{code}garbage.release()") == ""
