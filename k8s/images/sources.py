"""What an image takes of the project's own files: allow lists.

It imports nothing but the standard library: the drift job's tests use it, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]

SOURCES = {
    # What the drift job reads the log with, and itself.
    "drift": (
        "bentos/__init__.py",
        "bentos/errors.py",
        "bentos/ids.py",
        "bentos/logs.py",
        "bentos/outlet.py",
        "bentos/service_links.py",
        "bentos/model/__init__.py",
        "bentos/model/contract.py",
        "bentos/records",
        "monitoring/__init__.py",
        "monitoring/drift",
    ),
    "training": ("bentos",),
}
# The wheels that an image may take from a folder where an index is out of reach.
WHEELS = {"drift": "torch-*.whl"}


def lay_out(names: Iterable[str], folder: Path) -> None:
    """Copy files and folders of the project into `folder`, under the same names."""
    for name in names:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "results"))
        else:
            shutil.copyfile(source, target)
