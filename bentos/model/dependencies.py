"""What a model needs beside the base, and whether it is there: a pyfunc model runs on its own
libraries, which a Bento carries only if its requirements name them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import bentoml

from bentos.errors import ConfigurationError
from bentos.model import contract
from bentos.model.layout import CONTRACT, FOLDER, MLFLOW_FOLDER

_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
# MLflow lists pip's own tools among a model's requirements; no model is run by them.
_TOOLS = {"pip", "setuptools", "wheel"}


def require(tag: str, requirements: Path) -> None:
    """Refuse a pyfunc model that could not be run here, or in the Bento that is being built.

    `requirements`: what a Bento installs. Raises ConfigurationError.
    """
    folder = Path(bentoml.models.get(tag).path) / MLFLOW_FOLDER
    try:
        made = contract.load((folder / FOLDER / CONTRACT).read_bytes())
    except (OSError, ValueError):
        # What is wrong with the files is said where they are checked.
        return
    if made.engine != "pyfunc":
        return
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigurationError(
            f"{tag} is a pyfunc model, which needs MLflow where it is served: install "
            "tabserve[mlflow], or build the Bento after `make lock BENTO_EXTRAS=mlflow`"
        )
    if is_building() and (lacking := find_lacking(folder, requirements)):
        raise ConfigurationError(
            f"the Bento would not have {', '.join(lacking)}, which {tag} needs: `make lock "
            "BENTO_EXTRAS=mlflow` adds MLflow's; add others to the extra `mlflow` in pyproject.toml"
        )


def is_building() -> bool:
    """Whether this process makes a Bento: `bentoml build` imports the service for it."""
    return Path(sys.argv[0]).stem in ("bentoml", "__main__") and "build" in sys.argv[1:2]


def find_lacking(folder: Path, requirements: Path) -> list[str]:
    """The packages of a model's own requirements, and MLflow, that a Bento would not install."""
    own = folder / "requirements.txt"
    needed = {"mlflow"} | (_names(own) if own.is_file() else set())
    return sorted(needed - _names(requirements) - _TOOLS)


def _names(path: Path) -> set[str]:
    found = (_NAME.match(line) for line in path.read_text().splitlines())
    return {re.sub(r"[-_.]+", "-", one.group(1)).lower() for one in found if one is not None}
