"""What of a row may be stored: its features, its warnings, and the reasons that name them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bentos.model.contract import Category, Contract
from bentos.model.frame import FeatureWarning
from bentos.model.validation import EncodedRow, escape_pointer
from bentos.model.values.checks import EncodedValue
from bentos.records.record import RecordedWarning, Registration


class Features:
    """Writes encoded rows as JSON objects: named, typed by the contract, as far as listed.

    `listed`: names of the features that may be stored; None for all.
    """

    def __init__(self, contract: Contract, listed: Sequence[str] | None) -> None:
        stored = [
            (position, feature)
            for position, feature in enumerate(contract.features)
            if listed is None or feature.name in listed
        ]
        self._positions = [position for position, _ in stored]
        self._categories = [
            (place, _by_code(feature.categories))
            for place, (_, feature) in enumerate(stored)
            if feature.categories is not None
        ]
        self._is_whole = len(stored) == len(contract.features)
        # What a warning about one of them points to.
        self._pointers = frozenset(f"/{escape_pointer(feature.name)}" for _, feature in stored)
        # A struct is written by name, in C: no dictionary for each row.
        self._type = msgspec.defstruct(
            "Features",
            [f"f{place}" for place in range(len(stored))],
            rename={f"f{place}": feature.name for place, (_, feature) in enumerate(stored)},
            gc=False,
        )
        self._encode = msgspec.json.Encoder().encode

    def write(self, row: EncodedRow) -> msgspec.Raw:
        """Write one encoded row."""
        values = list(row) if self._is_whole else [row[position] for position in self._positions]
        for place, names in self._categories:
            values[place] = names[values[place]]
        return msgspec.Raw(self._encode(self._type(*values)))

    def note(self, warnings: Sequence[FeatureWarning]) -> tuple[RecordedWarning, ...]:
        """Note an answer's warnings: those about a feature that may not be stored are not."""
        return tuple(
            RecordedWarning(warned.pointer, warned.code)
            for warned in warnings
            if warned.pointer in self._pointers
        )


def find_storable(registration: Registration, listed: Sequence[str] | None) -> frozenset[str]:
    """The codes of a model's reasons that may be stored: all of whose features are listed."""
    return frozenset(
        code
        for code, reason in registration.reasons.items()
        if listed is None or all(name in listed for name in reason.features)
    )


def _by_code(categories: Sequence[Category]) -> dict[EncodedValue, Category | None]:
    # A code as an encoded row has it: the place as a float, None for missing.
    names: dict[EncodedValue, Category | None] = {None: None}
    names.update((float(code), category) for code, category in enumerate(categories))
    return names
