"""Which model a path names. Pure."""

from __future__ import annotations

import re

from bentos.errors import Problem
from bentos.model.loading import LoadedModel
from bentos.protocols.protocol import Call

# As `tabserve import` makes versions of a registered model: its number, and digits of the digest.
_REGISTERED = re.compile(r"v([0-9]+)-[0-9a-f]+")


def versions_of(model: LoadedModel) -> tuple[str, ...]:
    """The versions that a path may name: the whole one, and the registry's number."""
    version = model.stored.version
    found = _REGISTERED.fullmatch(version)
    return (version,) if found is None else (version, f"v{found[1]}", found[1])


def require_known(model: LoadedModel, call: Call) -> None:
    """Raise Problem where the path names a model or a version that is not served."""
    asked = call.parameters
    if asked.get("model", model.stored.name) != model.stored.name:
        raise Problem("not-found", "this server has no such model: GET /v2/models lists them")
    version = asked.get("version")
    if version is not None and version not in versions_of(model):
        raise Problem("not-found", "this server has no such version of the model")
