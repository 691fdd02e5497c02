"""The file of reasons that the reference model brings: one for each feature that it was given."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

import yaml

from bentos.training.description import Description


def write(description: Description, features: Collection[str]) -> bytes | None:
    """The file of reasons of a data set, for some of its features; None where it has none.

    A column that training leaves out loses its place in the file, and a reason without a column
    goes: both would be of a model that has them.
    """
    if not description.reasons:
        return None
    text = files("bentos.training").joinpath(f"data/{description.reasons}").read_bytes()
    document = yaml.safe_load(text)
    named = [name for reason in document["reasons"] for name in reason["features"]]
    if set(named) <= set(features):
        # With its comments: they say why the reasons are what they are.
        return text
    for reason in document["reasons"]:
        reason["features"] = [name for name in reason["features"] if name in features]
    document["reasons"] = [reason for reason in document["reasons"] if reason["features"]]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()
