"""What this worker's process takes: CPU, memory, descriptors, as Linux counts them."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

_PAGE_BYTES = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """`cpu_seconds`: user and system time since the start. `max_fds`: the soft limit."""

    cpu_seconds: float
    resident_bytes: int
    open_fds: int
    max_fds: int


def measure() -> Usage:
    """Measure this process. Raises OSError where there is no /proc."""
    times = os.times()
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return Usage(
        times.user + times.system,
        pages * _PAGE_BYTES,
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - no path object for each descriptor
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def find_start() -> float:
    """When this process started, in seconds since 1970. Raises OSError where there is no /proc."""
    # The name, in brackets, may have spaces: fields are counted after it.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + int(fields[19]) / _TICKS
