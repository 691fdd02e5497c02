"""Whether a folder lies in a container's own layer, which goes with the container."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Of the images' ENV, and of those that `bentoml containerize` makes.
_IN_AN_IMAGE = "BENTOML_CONTAINERIZED"
# File systems of which container engines make the root of a container.
_LAYERED = {"overlay", "fuse.fuse-overlayfs", "aufs"}
_MOUNTS = Path("/proc/self/mountinfo")


def goes_with_the_container(folder: Path) -> bool:
    """Whether what is written to `folder` is lost when this container is replaced."""
    if os.environ.get(_IN_AN_IMAGE, "").lower() != "true" or not _MOUNTS.is_file():
        return False
    return is_in_layer(folder.absolute(), _MOUNTS.read_text(errors="replace"))


def is_in_layer(folder: Path, mounts: str) -> bool:
    """Whether the mount that holds `folder` is a container's root.

    `mounts`: the text of /proc/self/mountinfo, where the fifth field is the mount's place and
    the one after the dash its type (proc_pid_mountinfo(5)); a later mount hides an earlier one.
    """
    holder, kind = Path("/"), ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5:
            continue
        place = Path(_unescape(fields[4]))
        if folder.is_relative_to(place) and len(place.parts) >= len(holder.parts):
            holder, kind = place, after.split()[0]
    return holder == Path("/") and kind in _LAYERED


def _unescape(text: str) -> str:
    # Spaces and the like stand as three octal digits.
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
