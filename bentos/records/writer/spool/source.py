"""What the rows of one worker have in common."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bentos.model.contract import Contract
from bentos.records.record import Environment, Registration


class RecordSource(msgspec.Struct, frozen=True):
    """What made the rows of one worker, and which features of them may be stored.

    `listed`: names of features; None for all.
    """

    registration: Registration
    environment: Environment
    listed: tuple[str, ...] | None = None


def find_stored(contract: Contract, listed: Sequence[str] | None) -> list[int]:
    """The positions of the features that may be stored; `listed`: their names, None for all."""
    return [
        position
        for position, feature in enumerate(contract.features)
        if listed is None or feature.name in listed
    ]
