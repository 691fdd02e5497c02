"""The build context of the serving image, laid out from a built Bento.

Owns what goes into the image from the Bento. It builds nothing.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bentoml

from k8s.images.sources import ROOT

# LightGBM's wheel declares them for its Python package, of which serving loads only the shared
# library. Together they are 120 MB. `tests/k8s` serves from an image without them.
NOT_IMPORTED = ("scipy", "narwhals")

_SITE_PACKAGES = "lib/python3.11/site-packages"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==")


@dataclass(frozen=True)
class Identity:
    """What the labels of an image say of the model in it."""

    bento: str
    model_name: str
    model_version: str
    mlflow_run: str


def project_version() -> str:
    """The version in pyproject.toml."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def lay_out(tag: str, folder: Path) -> Identity:
    """Write the context of Bento `tag` into `folder`, which must not exist.

    Raises SystemExit with one line if there is no such Bento or it has not exactly one model.
    """
    try:
        bento = bentoml.get(tag)
    except (bentoml.exceptions.BentoMLException, ValueError):
        raise SystemExit(f"the Bento store has no Bento {tag}: `bentoml build` makes one") from None
    models = [model.tag for model in bento.info.all_models]
    if len(models) != 1:
        raise SystemExit(f"{bento.tag} has {len(models)} models, and an image holds exactly one")
    target = folder / "bento"
    shutil.copytree(bento.path, target, ignore=shutil.ignore_patterns("models", "__pycache__"))
    model = bentoml.models.get(models[0])
    home = target / "home"
    for name in ("bentos", "envs", "tmp", "models"):
        (home / name).mkdir(parents=True)
    versions = home / "models" / model.tag.name
    shutil.copytree(model.path, versions / str(model.tag.version))
    (versions / "latest").write_text(str(model.tag.version))
    (target / "models").symlink_to("home/models")
    requirements = (target / "env" / "python" / "requirements.txt").read_text()
    (folder / "requirements.txt").write_text("".join(keep_imported(requirements)))
    install(folder / "installed")
    _open_to_all(target)
    return Identity(
        bento=str(bento.tag),
        model_name=model.tag.name,
        model_version=str(model.tag.version),
        mlflow_run=str(model.info.metadata.get("mlflow_run_id", "")),
    )


def keep_imported(requirements: str) -> Iterator[str]:
    """Yield the lines of a locked requirements file without the packages that serving never loads.

    A pin's hashes and comments stand on the indented lines that follow it.
    """
    is_kept = True
    for line in requirements.splitlines(keepends=True):
        pin = _PIN.match(line)
        if pin:
            is_kept = pin[1].lower() not in NOT_IMPORTED
        if is_kept:
            yield line


def install(folder: Path) -> None:
    """Write what installing the project would add to an environment: its command and metadata.

    The code itself is in /opt/bento/src. `tabserve --version` and the log's description of a
    process read the metadata.
    """
    info = folder / _SITE_PACKAGES / f"tabserve-{project_version()}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: tabserve\nVersion: {project_version()}\n"
    )
    (folder / _SITE_PACKAGES / "bento.pth").write_text("/opt/bento/src\n")
    command = folder / "bin" / "tabserve"
    command.parent.mkdir()
    command.write_text(
        "#!/opt/tabserve/bin/python3\nfrom bentos.cli import main\n\nmain(prog_name='tabserve')\n"
    )
    command.chmod(0o755)


def _open_to_all(folder: Path) -> None:
    # The Bento store keeps a model's files to their owner; in an image any user must read them.
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
