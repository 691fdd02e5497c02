"""The stored features of a row as JSON: named, and typed by the contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bentos.model.contract import Category, Contract
from bentos.model.values.checks import EncodedValue


def find_stored(contract: Contract, listed: Sequence[str] | None) -> list[int]:
    """The positions of the features that may be stored; `listed`: their names, None for all."""
    return [
        position
        for position, feature in enumerate(contract.features)
        if listed is None or feature.name in listed
    ]


class Features:
    """Writes the stored values of a row as a JSON object.

    `listed`: names of the features that may be stored; None for all.
    """

    def __init__(self, contract: Contract, listed: Sequence[str] | None) -> None:
        stored = [contract.features[position] for position in find_stored(contract, listed)]
        self._categories = [
            (place, _by_code(feature.categories))
            for place, feature in enumerate(stored)
            if feature.categories is not None
        ]
        # A struct is written by name, in C: no dictionary for each row.
        self._type = msgspec.defstruct(
            "Features",
            [f"f{place}" for place in range(len(stored))],
            rename={f"f{place}": feature.name for place, feature in enumerate(stored)},
            gc=False,
        )
        self._encode = msgspec.json.Encoder().encode

    def write(self, values: Sequence[EncodedValue]) -> msgspec.Raw:
        """Write one row: its stored features' values, as they are encoded, in contract order."""
        if self._categories:
            values = list(values)
            for place, names in self._categories:
                values[place] = names[values[place]]
        return msgspec.Raw(self._encode(self._type(*values)))


def _by_code(categories: Sequence[Category]) -> dict[EncodedValue, Category | None]:
    # A code as an encoded row has it: the place as a float, None for missing.
    names: dict[EncodedValue, Category | None] = {None: None}
    names.update((float(code), category) for code, category in enumerate(categories))
    return names
