"""A library that reads models by path gets the bytes that were checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.model.engines.memory_file import memory_file


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_the_bytes_are_there_as_long_as_it_lasts(
    has_memory_files: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path gives the bytes, under no name that others can write to, and is gone afterwards."""
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create")
    data = bytes(range(256)) * 1000
    with memory_file(data) as path:
        assert Path(path).read_bytes() == data
        if not has_memory_files:
            assert Path(path).parent.stat().st_mode & 0o077 == 0
    assert not Path(path).exists()
