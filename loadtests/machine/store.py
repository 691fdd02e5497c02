"""Where the Bento store keeps an imported model: read as files, without the service's code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

# What `tabserve import` adds to a model: the booster as text, the contract.
EXPORTED = "tabserve"


def find(tag: str) -> Path:
    """Find the folder of the MLflow model NAME:VERSION (or `latest`). Raises OSError."""
    home = Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml"))
    name, _, version = tag.partition(":")
    if version in ("", "latest"):
        version = (home / "models" / name / "latest").read_text().strip()
    folder = home / "models" / name / version / "mlflow_model"
    if not folder.is_dir():
        raise FileNotFoundError(f"the Bento store has no {tag}: see `bentoml models list`")
    return folder


def contract_of(tag: str) -> dict[str, Any]:
    """Read a model's contract: its features, classes and engine. Raises OSError, ValueError."""
    contract: dict[str, Any] = json.loads((find(tag) / EXPORTED / "contract.json").read_text())
    return contract


def version_of(tag: str) -> str:
    """Give NAME:VERSION of a tag that may say `latest`. Raises OSError."""
    return f"{tag.partition(':')[0]}:{find(tag).parent.name}"
