"""A log in a container's own layer is found by the mounts of the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.records.writer import layer

ROOT = "511 426 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c\n"
PROC = "512 511 0:55 / /proc rw,nosuid - proc proc rw\n"
VOLUME = "530 511 254:0 /pods/1/volumes/data /var/lib/tabserve rw,relatime - ext4 /dev/vda rw\n"
SPACE = "531 511 254:0 /pods/2 /my\\040data rw - ext4 /dev/vda rw\n"
DISK = "26 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"


@pytest.mark.parametrize(
    ("folder", "mounts", "is_lost"),
    [
        ("/var/lib/tabserve", ROOT + PROC, True),
        ("/var/lib/tabserve", ROOT + PROC + VOLUME, False),
        ("/var/lib/tabserve/spool", ROOT + PROC + VOLUME, False),
        ("/var/lib/tabserved", ROOT + PROC + VOLUME, True),
        ("/my data/log", ROOT + SPACE, False),
        ("/var/lib/tabserve", DISK, False),
        ("/var/lib/tabserve", DISK + ROOT, True),
        ("/var/lib/tabserve", "", False),
        ("/var/lib/tabserve", "broken\n", False),
    ],
)
def test_mounts(folder: str, mounts: str, is_lost: bool) -> None:
    """The longest mount that holds the folder decides, and of two at one place the later."""
    assert layer.is_in_layer(Path(folder), mounts) is is_lost


def test_outside_of_an_image_there_is_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose own root is layered, as CI's may be, is no image of ours."""
    monkeypatch.delenv("BENTOML_CONTAINERIZED", raising=False)
    assert layer.goes_with_the_container(Path("/")) is False


def test_in_an_image_the_mounts_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an image the process's own mounts decide."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(ROOT)
    monkeypatch.setattr(layer, "_MOUNTS", mounts)
    monkeypatch.setenv("BENTOML_CONTAINERIZED", "true")
    assert layer.goes_with_the_container(Path("/var/lib/tabserve")) is True
