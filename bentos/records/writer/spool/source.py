"""What the rows of one worker have in common."""

from __future__ import annotations

import msgspec

from bentos.records.record import Environment, Registration


class RecordSource(msgspec.Struct, frozen=True):
    """What made the rows of one worker, and which features of them may be stored.

    `listed`: names of features; None for all.
    """

    registration: Registration
    environment: Environment
    listed: tuple[str, ...] | None = None
