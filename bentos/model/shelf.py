"""The models of the Bento store as BentoML lists them, damaged ones told apart.

BentoML reads every model's `model.yaml` to list them, and one that is damaged fails them all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bentoml

from bentos.errors import ConfigurationError


def get(tag: str) -> bentoml.Model:
    """A model by its tag.

    Raises BentoMLException where there is none, ValueError for what is no tag, and
    ConfigurationError where the model's description is damaged.
    """
    parsed = bentoml.Tag.from_str(tag)
    try:
        with _hushed():
            return bentoml.models.get(parsed)
    # BentoML's own error also means that there is none, or that several versions begin so.
    except Exception as error:
        is_there = (_find_folder() / parsed.name / (parsed.version or "")).is_dir()
        if isinstance(error, bentoml.exceptions.BentoMLException) and not is_there:
            raise
        raise ConfigurationError(f"{tag} of the Bento store is damaged: {_ADVICE}") from None


def list_models() -> tuple[list[bentoml.Model], list[str]]:
    """Every model that can be read, the newest first, and the tags of those that cannot."""
    try:
        with _hushed():
            models = list(bentoml.models.list())
        damaged: list[str] = []
    # As in `get`.
    except Exception:
        models, damaged = _read_one_by_one()
    return sorted(models, key=lambda one: one.info.creation_time, reverse=True), damaged


_ADVICE = "its model.yaml cannot be read; remove the model's folder and import it again"


def _read_one_by_one() -> tuple[list[bentoml.Model], list[str]]:
    models, damaged = [], []
    # A folder for each name, and in it one for each version.
    for folder in sorted(_find_folder().glob("*/*/")):
        tag = f"{folder.parent.name}:{folder.name}"
        try:
            models.append(get(tag))
        except (ConfigurationError, bentoml.exceptions.BentoMLException):
            damaged.append(tag)
    return models, damaged


def _find_folder() -> Path:
    # BentoML's documented variable, and its default.
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml") / "models"


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep BentoML's own words on a damaged file, which are many lines, off the terminal."""
    logger = logging.getLogger("bentoml")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
