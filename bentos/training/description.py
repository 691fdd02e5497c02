"""What is known of a data set besides its rows: meaning, origin, licence, limits.

The reference data comes with a description; any other file gets an empty one, and the model
card then says what is not stated.
"""

from __future__ import annotations

from importlib.resources import files

import msgspec

from bentos.training import TrainingError


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column.

    `source`: its name in the file as published. `codes`: published code to category;
    `undocumented`: the category of every code that is not among them. `minimum`, `maximum`:
    bounds that a value must keep, inclusive, in the unit that `description` names.
    """

    name: str
    description: str = ""
    source: str = ""
    codes: dict[int, str] | None = None
    undocumented: str | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def categories(self) -> list[str] | None:
        """Every category in the order of its codes, None for a number."""
        if self.codes is None:
            return None
        return [*self.codes.values(), *([self.undocumented] if self.undocumented else [])]


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data set.

    `settings`: training settings that belong to this data only. `reasons`: name of its file of
    reasons (`bentos.model.explanation.reasons`), beside the description.
    """

    name: str
    title: str
    target: Column
    provenance: str = ""
    url: str = ""
    licence: str = ""
    citation: str = ""
    features: tuple[Column, ...] = ()
    intended_use: tuple[str, ...] = ()
    not_intended_use: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    settings: dict[str, object] = {}
    reasons: str = ""

    @property
    def texts(self) -> dict[str, str]:
        """The description of every feature that has one, by name."""
        return {column.name: column.description for column in self.features if column.description}


def describe_reference() -> Description:
    """Read the description of the packaged data."""
    text = files("bentos.training").joinpath("data/credit_default.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=Description)


def describe_unknown(name: str, target: str) -> Description:
    """Describe a file of which nothing is known. Raises TrainingError without a name."""
    if not target:
        raise TrainingError("name the target column of your data with --target")
    return Description(name=name, title=name, target=Column(name=target))
