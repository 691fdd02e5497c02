"""Where output goes, and what is never replaced."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from bentos.audit.output import open_output


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What a link leads to is replaced, not the link."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    with open_output(link) as file:
        file.write(b"after")
        assert target.read_text() == "before"
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    """A named pipe is written to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with open_output(pipe) as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_failing_body_leaves_what_was(tmp_path: Path) -> None:
    """Whatever ends the body, the file is the one before and no part is left."""
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), open_output(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """An error of the file system is one line that names the file and no folder."""
    with pytest.raises(click.ClickException) as caught, open_output(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert caught.value.message == "out cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []
