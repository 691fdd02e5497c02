"""Bytes as a file that no one else can change, for libraries that read models by path alone.

What was checked against its digest is what the library reads: a file of the store could be
swapped between the check and the reading.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_file(data: bytes) -> Iterator[str]:
    """The path of a file with these bytes, for this process and as long as this lasts.

    In memory where the system can (Linux); else a file in a folder of this user's alone.
    Raises OSError.
    """
    if not hasattr(os, "memfd_create") or not Path("/proc/self/fd").is_dir():
        with tempfile.TemporaryDirectory(prefix="tabserve-") as folder:
            path = Path(folder) / "model"
            path.write_bytes(data)
            yield str(path)
        return
    descriptor = os.memfd_create("model")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
