"""How many CPUs this process may use: its cgroup's quota (v1 or v2) and its affinity.

`os.cpu_count()` is the machine's number: a pod with two CPUs on a node of 64 would start 64
workers and be throttled. Sources: Linux, admin-guide/cgroup-v2 ("cpu.max") and
scheduler/sched-bwc ("cpu.cfs_quota_us").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
# Where v1 mounts the controller of CPU time, by distribution.
_V1_MOUNTS = ("cpu,cpuacct", "cpu", "cpuacct,cpu")


class Cpus(NamedTuple):
    """`cpus`: how many, a fraction too; `source`: what bounds them."""

    cpus: float
    source: str

    @property
    def whole(self) -> int:
        """Whole CPUs, at least 1: a worker fills one, and a part of one makes it late."""
        return max(1, int(self.cpus))


def find_cpus(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> Cpus:
    """The least of the quotas of this process' cgroups and of its affinity."""
    bounds = [Cpus(float(_count_affinity()), "the CPUs that this process may run on")]
    with suppress(OSError):
        bounds += _quotas(root, membership.read_text())
    # The affinity first: equal bounds are named by it.
    return min(bounds, key=lambda bound: bound.cpus)


def _quotas(root: Path, membership: str) -> Iterator[Cpus]:
    for line in membership.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            for folder in _upwards(root, path):
                yield from _read_v2(folder)
        elif "cpu" in controllers.split(","):
            for mount in _V1_MOUNTS:
                for folder in _upwards(root / mount, path):
                    yield from _read_v1(folder)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    # A group is bounded by those above it. In a container the path may be the machine's, which
    # is not there; the mount's own root is the container's group then.
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        folder = mount.joinpath(*parts[:length])
        if folder.is_dir():
            yield folder


def _read_v2(folder: Path) -> Iterator[Cpus]:
    # "max 100000" or "150000 100000": microseconds in each period.
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        if quota != "max":
            yield Cpus(int(quota) / int(period), "the quota of its cgroup (v2)")


def _read_v1(folder: Path) -> Iterator[Cpus]:
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            period = int((folder / "cpu.cfs_period_us").read_text())
            yield Cpus(quota / period, "the quota of its cgroup (v1)")


def _count_affinity() -> int:
    # Linux alone has it; elsewhere all CPUs are ours.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
