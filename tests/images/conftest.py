"""The images under test, and the tool that runs them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k8s.images.bento import project_version

SERVING = f"docker.io/library/tabserve:{project_version()}"


@dataclass(frozen=True)
class Image:
    """A saved image: its configuration, and the members of all layers by name."""

    config: dict[str, Any]
    members: dict[str, tarfile.TarInfo]
    texts: dict[str, bytes]
    size_bytes: int


@pytest.fixture(scope="session")
def tool() -> str:
    """docker or podman: buildah runs no containers."""
    names = [os.environ["IMAGE_TOOL"]] if os.environ.get("IMAGE_TOOL") else ["docker", "podman"]
    for name in names:
        if shutil.which(name) and _has(name, SERVING):
            return name
    if os.environ.get("CI") == "true":
        pytest.fail(f"{SERVING} is not there: `make images` builds it")
    pytest.skip(f"{SERVING} is not there: `make images` builds it with docker or podman")


def _has(tool: str, image: str) -> bool:
    done = subprocess.run([tool, "image", "inspect", image], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="session")
def serving(tool: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The serving image, read from the archive that the tool saves."""
    return read(tool, SERVING, tmp_path_factory.mktemp("serving"))


def read(tool: str, image: str, folder: Path) -> Image:
    """Save an image and read every layer."""
    path = folder / "image.tar"
    subprocess.run([tool, "save", "--output", str(path), image], check=True, capture_output=True)
    members: dict[str, tarfile.TarInfo] = {}
    texts: dict[str, bytes] = {}
    size = 0
    with tarfile.open(path) as archive:
        (manifest,) = json.load(_open(archive, "manifest.json"))
        config = json.load(_open(archive, manifest["Config"]))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(_open(archive, layer).read())) as files:
                for member in files:
                    members["/" + member.name.removeprefix("./").strip("/")] = member
                    size += member.size
                    content = files.extractfile(member) if member.isfile() else None
                    if content is not None and member.size < 200_000:
                        texts["/" + member.name] = content.read()
    return Image(config["config"], members, texts, size)


def _open(archive: tarfile.TarFile, name: str) -> io.BufferedReader:
    found = archive.extractfile(name)
    assert found is not None
    return found  # type: ignore[return-value]  # typeshed's IO[bytes] is this class
