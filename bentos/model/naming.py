"""Model versions as people name them: `flight-late`, `flight-late:v3`, `flight-late:3`.

A version is `v3-4c204e45c6e9`: the number in MLflow's registry, where the model has one, and
the first digits of a digest of its files. Either part is enough where only one version has it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from bentos.errors import ConfigurationError

LATEST = "latest"

# Fewer digits of a digest are a slip of the finger rather than a name.
_MIN_DIGITS = 4
# How many versions an error lists.
_LISTED = 5


def match(versions: Iterable[str], named: str) -> list[str]:
    """The versions that a name means: the one of exactly this name, else all that fit."""
    known = list(versions)
    if named in known:
        return [named]
    by_number = find_number(known, named)
    if by_number or len(named) < _MIN_DIGITS:
        return by_number
    return [
        version
        for version in known
        if version.startswith(named) or version.rpartition("-")[2].startswith(named)
    ]


def find_number(versions: Iterable[str], named: str) -> list[str]:
    """The versions that came from one version of MLflow's registry, named 3 or v3."""
    return [one for one in versions if one.startswith(f"v{named.removeprefix('v')}-")]


def pick(versions: Sequence[str], named: str, place: str) -> str:
    """The one version that a name means. Raises ConfigurationError, listing what there is.

    `place`: what holds the versions, with the model's name, for the message.
    """
    found = match(versions, named)
    if len(found) == 1:
        return found[0]
    listed = ", ".join((found or list(versions))[:_LISTED])
    if len(found) > 1:
        raise ConfigurationError(f"{place} has {len(found)} versions named {named}: {listed}")
    raise ConfigurationError(f"{place} has no version {named}; it has {listed or 'none'}")


def resolve(named: str) -> str:
    """The full tag of a model of the Bento store.

    `named`: NAME, NAME:latest, NAME:v3, NAME:3, or NAME and some digits of the digest.
    Raises ConfigurationError, saying what the store has, where none or several fit, or where
    the model is damaged.
    """
    if (tag := _find_exact(named)) is not None:
        return tag
    # Here, because BentoML takes a second to import.
    import bentoml  # noqa: PLC0415 - a worker never loads it

    from bentos.model import shelf  # noqa: PLC0415 - it imports BentoML

    name, _, version = named.partition(":")
    try:
        return str(shelf.get(f"{name}:{version or LATEST}").tag)
    except (bentoml.exceptions.BentoMLException, ValueError):
        # The newest first: of two imports of one registry version, the later has more evidence.
        models, _ = shelf.list_models()
    versions = [str(one.tag.version) for one in models if one.tag.name == name]
    if by_number := find_number(versions, version):
        return f"{name}:{by_number[0]}"
    if versions:
        return f"{name}:{pick(versions, version, f'the Bento store: {name}')}"
    others = ", ".join(sorted({one.tag.name for one in models})[:_LISTED])
    raise ConfigurationError(
        f"the Bento store has no model {named}: bring it in with `tabserve import "
        f"models:/NAME@ALIAS`, or name another with TABSERVE_MODEL"
        + (f"; it has {others}" if others else "")
    )


def _find_exact(named: str) -> str | None:
    """The tag that a name means to the letter, or as the latest; None leaves it to BentoML.

    A look at the store's folders: models/NAME/VERSION/model.yaml, and models/NAME/latest.
    """
    # BentoML's documented variable, and its default.
    home = Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")
    name, _, version = named.partition(":")
    if not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(version or LATEST):
        return None
    folder = home / "models" / name
    try:
        if version in ("", LATEST):
            version = (folder / LATEST).read_text().strip()
        described = yaml.safe_load((folder / version / "model.yaml").read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    is_whole = isinstance(described, dict) and described.get("name") == name
    return f"{name}:{version}" if is_whole and described.get("version") == version else None


# As BentoML's tags; nothing that leads out of the folder.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]*")
