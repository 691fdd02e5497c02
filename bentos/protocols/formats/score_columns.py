"""Scores by column as the members of JSON objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import msgspec

from bentos.model.contract import Category, Contract
from bentos.protocols.formats.format import TableResults

Member = tuple[
    float | msgspec.UnsetType, msgspec.Struct | msgspec.UnsetType, Category | msgspec.UnsetType
]


class ScoreColumns:
    """Gives `score`, `scores` and `label` of each row of a table under one contract."""

    def __init__(self, contract: Contract) -> None:
        self._classes = contract.classes
        names = [str(label) for label in contract.classes or ()]
        fields = [f"s{place}" for place in range(len(names))]
        # A struct is filled by position and written in C; a dictionary costs twice as much.
        self._scores: Any = msgspec.defstruct(
            "Scores",
            [(field, float) for field in fields],
            rename=dict(zip(fields, names, strict=True)),
            gc=False,
        )

    def rows(self, results: TableResults) -> Iterable[Member]:
        """The members of each row; those of a row without a score mean nothing."""
        unset = msgspec.UNSET
        listed = results.scores.tolist()
        is_one = results.scores.ndim == 1
        classes = self._classes
        labels: Iterable[Category | msgspec.UnsetType] = repeat(unset, len(listed))
        if results.decided is not None and classes is not None:
            labels = [classes[best] for best in results.decided.tolist()]
        single = listed if is_one else repeat(unset, len(listed))
        several = repeat(unset, len(listed)) if is_one else [self._scores(*row) for row in listed]
        return zip(single, several, labels, strict=True)
