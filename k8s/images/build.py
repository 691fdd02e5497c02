"""`python -m k8s.images.build IMAGE...`: build images, by `make images` all of them."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from k8s.images import bento, site, sources, tool
from k8s.images.bento import project_version
from k8s.images.sources import ROOT, SOURCES, WHEELS

HERE = Path(__file__).parent
# Of the base that debootstrap makes where no registry is reached.
LOCAL_BASE = "localhost/tabserve-base:bookworm"

IMAGES = ("serving", *SOURCES)


def main(arguments: list[str]) -> None:
    """Build what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m k8s.images.build", description=__doc__)
    parser.add_argument("images", nargs="*", choices=[*IMAGES, []], metavar="IMAGE")
    parser.add_argument("--bento", default="tabserve:latest", help="Bento of the serving image.")
    parser.add_argument("--base", default="", help="Base image, or `debootstrap` to make one.")
    parser.add_argument("--tag", default=project_version(), help="Tag of the images.")
    given = parser.parse_args(arguments)
    program = tool.find(os.environ.get("IMAGE_TOOL", ""))
    base = given.base
    if base == "debootstrap":
        base = LOCAL_BASE
        build_base(program)
    for name in given.images or IMAGES:
        build(program, name, given.bento, base, given.tag)


def build(program: str, name: str, bento_tag: str, base: str, tag: str) -> None:
    """Build one image of IMAGES as tabserve:TAG, tabserve-drift:TAG or tabserve-training:TAG."""
    # Outside the project: `bentoml build` would take a copy of service.py in here for its own.
    with tempfile.TemporaryDirectory(prefix="tabserve-image-") as folder:
        _build(program, name, bento_tag, base, tag, Path(folder))


def _build(program: str, name: str, bento_tag: str, base: str, tag: str, context: Path) -> None:
    site.lay_out(context / "site", WHEELS.get(name, ""))
    shutil.copyfile(HERE / f"{name}.Containerfile", context / "Containerfile")
    arguments = {"SOURCE": _source(), "REVISION": _git("rev-parse", "HEAD"), "VERSION": tag}
    if base:
        arguments["BASE"] = base
    # The full name, as a cluster reads `tabserve`; podman would call it localhost/tabserve.
    image = "docker.io/library/tabserve" + ("" if name == "serving" else f"-{name}")
    tags = [f"{image}:{tag}"]
    if name == "serving":
        identity = bento.lay_out(bento_tag, context)
        arguments |= {
            "MODEL_NAME": identity.model_name,
            "MODEL_VERSION": identity.model_version,
            "MLFLOW_RUN": identity.mlflow_run,
        }
        tags.append(f"{image}:{tag}-{identity.model_name}-{identity.model_version}")
    if name == "training":
        bento.install(context / "installed")
        (context / "requirements.txt").write_text(_locked("train"))
    sources.lay_out(SOURCES.get(name, ()), context)
    tool.build(program, context, tags, arguments)
    print("\n".join(tags))  # noqa: T201 - this command's result


def build_base(program: str) -> None:
    """Make a minimal Debian from its packages, as a stand-in for the pinned base image."""
    if shutil.which("debootstrap") is None:
        raise SystemExit("a base without a registry needs debootstrap: apt-get install debootstrap")
    with tempfile.TemporaryDirectory(prefix="tabserve-base-") as folder:
        context = Path(folder)
        tree, packed = context / "tree", str(context / "tree.tar")
        for command in (
            ["debootstrap", "--variant=minbase", "bookworm", str(tree)],
            [
                "tar",
                "-C",
                str(tree),
                "--exclude=./var/cache/apt/archives/*.deb",
                "-cf",
                packed,
                ".",
            ],
        ):
            done = subprocess.run(command, check=False)  # noqa: S603 - fixed words, our own folder
            if done.returncode != 0:
                raise SystemExit(f"{command[0]} failed: the lines above say why")
        shutil.rmtree(tree)
        (context / "Containerfile").write_text("FROM scratch\nADD tree.tar /\n")
        tool.build(program, context, [LOCAL_BASE], {})


def _locked(extra: str) -> str:
    """The packages of an extra, pinned with their hashes, from uv.lock."""
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    command = [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--extra"]
    done = subprocess.run(  # noqa: S603 - our own words
        [*command, extra], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit("uv could not read uv.lock: `make lock` writes it")
    return done.stdout


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own words
        ["git", *arguments],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _source() -> str:
    # A remote may be a folder of this machine, which is no address to anyone else.
    url = os.environ.get("IMAGE_SOURCE") or _git("remote", "get-url", "origin")
    return url if url.startswith("https://") and "@" not in url else ""


if __name__ == "__main__":
    main(sys.argv[1:])
