"""Trees compiled when a model is imported: C in, a shared library beside the booster out."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from bentos.model.engines.trees import Unsupported, parse, write_c

LIBRARY = "trees.so"
BUILD = "trees.json"

# -O1: -O2 takes three times as long for code that is no faster. No libc and no CPU of its
# own, so that the library runs on any machine of the architecture; no contraction of
# a * b + c, which would round differently.
_FLAGS = ("-std=c99", "-O1", "-fPIC", "-shared", "-nostdlib", "-ffp-contract=off", "-w")
_SECONDS = 300


class Build(msgspec.Struct, frozen=True):
    """What a library was built for, and with what."""

    machine: str
    system: str
    compiler: str


def current_machine() -> tuple[str, str]:
    """The architecture and system of this process."""
    return platform.machine(), platform.system()


def compile_trees(model_text: str, folder: Path) -> str | None:
    """Compile a booster's trees into `folder`.

    Gives None, or in one sentence why there is no library; a model can be served without.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return "there is no C compiler here (apt-get install gcc)"
    try:
        source = write_c(parse(model_text))
    except Unsupported as error:
        return str(error)
    with tempfile.TemporaryDirectory(prefix="tabserve-trees-") as scratch:
        path = Path(scratch) / "trees.c"
        path.write_text(source)
        library = Path(scratch) / LIBRARY
        command = [compiler, *_FLAGS, "-o", str(library), str(path)]
        try:
            done = subprocess.run(  # noqa: S603 - the compiler that the user chose
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"the C compiler took more than {_SECONDS} seconds"
        if done.returncode != 0:
            return f"the C compiler failed: {(done.stderr.splitlines() or ['no message'])[0]}"
        shutil.copyfile(library, folder / LIBRARY)
    machine, system = current_machine()
    build = Build(machine, system, shlex.join([Path(compiler).name, *_FLAGS]))
    (folder / BUILD).write_bytes(msgspec.json.encode(build))
    return None
