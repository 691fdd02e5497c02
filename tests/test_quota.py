"""The CPUs of a process, as cgroups of both versions bound them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.errors import ConfigurationError
from bentos.quota import Cpus, find_cpus
from bentos.settings import read

V2 = "0::/kubepods/pod1/container\n"
V1 = "11:memory:/pod1\n4:cpu,cpuacct:/pod1/container\n1:name=systemd:/x\n"


@pytest.fixture(autouse=True)
def sixty_four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of 64 CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def put(root: Path, files: dict[str, str]) -> None:
    """Write a tree of files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "count", "whole"),
    [
        # A container with a namespace of its own sees its group as the root.
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64, 64),
        # The least of a group and those above it.
        (V2, {"kubepods/cpu.max": "300000 100000", "kubepods/pod1/cpu.max": "max 100000"}, 3, 3),
        (
            V2,
            {"kubepods/pod1/container/cpu.max": "100000 100000", "cpu.max": "800000 100000"},
            1,
            1,
        ),
        # The machine's path, which the container does not see.
        (V2, {"cpu.max": "400000 100000"}, 4, 4),
        (
            V1,
            {
                "cpu,cpuacct/pod1/container/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/pod1/cpu.cfs_quota_us": "150000",
                "cpu,cpuacct/pod1/cpu.cfs_period_us": "50000",
            },
            3,
            3,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64, 64),
        # Nothing to read, and nonsense.
        (V2, {}, 64, 64),
        ("nonsense\n\n0::\n", {"cpu.max": "100000 0"}, 64, 64),
        ("0::/\n", {"cpu.max": ""}, 64, 64),
    ],
)
def test_the_quota_bounds_the_cpus(
    tmp_path: Path, membership: str, files: dict[str, str], count: float, whole: int
) -> None:
    """The least quota on the way up counts, in either version; without one the affinity."""
    put(tmp_path, files)
    (tmp_path / "membership").write_text(membership)
    found = find_cpus(tmp_path, tmp_path / "membership")
    assert (found.cpus, found.whole) == (count, whole)


def test_a_machine_without_cgroups(tmp_path: Path) -> None:
    """Where there is no such file, the affinity is all there is."""
    found = find_cpus(tmp_path, tmp_path / "nothing")
    assert found == Cpus(64.0, "the CPUs that this process may run on")


def test_this_machine() -> None:
    """The real files of this machine give a number."""
    assert 0 < find_cpus().cpus <= 64


def test_workers_follow_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is as many workers as whole CPUs; a number stays what it is."""
    monkeypatch.setattr("bentos.quota.find_cpus", lambda: Cpus(2.5, "a quota"))
    monkeypatch.setenv("TABSERVE_WORKERS", "auto")
    assert read().workers == 2
    monkeypatch.setenv("TABSERVE_WORKERS", "5")
    assert read().workers == 5
    monkeypatch.setenv("TABSERVE_WORKERS", "many")
    with pytest.raises(ConfigurationError, match="TABSERVE_WORKERS"):
        read()
