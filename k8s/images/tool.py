"""The program that builds images: docker, podman or buildah, whichever works here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TOOLS = ("docker", "podman", "buildah")


def find(wanted: str = "") -> str:
    """Name the tool to use: `wanted`, or the first that works.

    Raises SystemExit with one line if there is none.
    """
    if wanted and wanted not in TOOLS:
        raise SystemExit(f"IMAGE_TOOL must be one of {', '.join(TOOLS)}")
    for name in (wanted,) if wanted else TOOLS:
        if shutil.which(name) and _works(name):
            return name
    what = wanted or ", ".join(TOOLS)
    raise SystemExit(f"building images needs one of these, and none works here: {what}")


def _works(name: str) -> bool:
    # docker is a client: without its daemon it can do nothing.
    if name != "docker":
        return True
    done = subprocess.run(["docker", "version"], capture_output=True, check=False)  # noqa: S607 - found by `which`
    return done.returncode == 0


def build(
    tool: str, context: Path, tags: Sequence[str], arguments: Mapping[str, str], target: str = ""
) -> None:
    """Build the Containerfile of a context and tag the result.

    Raises SystemExit if the tool fails: it has said why.
    """
    command = [tool, "build", "--file", str(context / "Containerfile"), "--network", "host"]
    if tool == "buildah":
        command += ["--layers"]
    if target:
        command += ["--target", target]
    for tag in tags:
        command += ["--tag", tag]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    # chroot needs no more rights than the build's user has, so it works inside a container too.
    environment = {"BUILDAH_ISOLATION": "chroot", "DOCKER_BUILDKIT": "1", **os.environ}
    done = subprocess.run([*command, str(context)], env=environment, check=False)  # noqa: S603 - one of TOOLS
    if done.returncode != 0:
        raise SystemExit(f"{tool} could not build {tags[0]}: the lines above say why")
