"""Recorded values scored again, on the way that requests take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bentoml

from bentos.errors import Fault, Problem, TabserveError
from bentos.model.contract import Contract
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.model.store import StoredModel, open_model
from bentos.model.validation import EncodedRow
from bentos.records.record import Record
from bentos.settings import Settings


class NoModel(TabserveError):
    """A model version cannot be had here; the message says why."""


def find_stored(tag: str) -> StoredModel:
    """Read a model of the local Bento store. Raises NoModel, or IntegrityError."""
    try:
        found = bentoml.models.get(tag)
    except (bentoml.exceptions.BentoMLException, ValueError):
        raise NoModel(f"the local Bento store has no model {tag}") from None
    return open_model(found)


def open_served(tag: str, settings: Settings) -> LoadedModel:
    """Make a model of the local Bento store ready to score, proved as for serving.

    Raises NoModel, or IntegrityError.
    """
    served = LoadedModel(find_stored(tag), settings)
    served.prove()
    return served


def encode_rows(served: LoadedModel, records: Sequence[Record]) -> list[EncodedRow | list[Fault]]:
    """Read recorded features as a request's body: each encoded, or the list of its faults."""
    return [_encode(served, record) for record in records]


def score_rows(served: LoadedModel, records: Sequence[Record]) -> list[Scored | list[Fault]]:
    """Score recorded features: each scored, or the list of its faults."""
    encoded = encode_rows(served, records)
    # An encoded row is a tuple, faults are a list.
    good = [row for row in encoded if isinstance(row, tuple)]
    scored = iter(served.scorer.score(good).scored if good else ())
    return [next(scored) if isinstance(row, tuple) else row for row in encoded]


def _encode(served: LoadedModel, record: Record) -> EncodedRow | list[Fault]:
    try:
        row, _ = served.reader.read_row(bytes(record.features))
    except Problem as problem:
        return list(problem.faults) or [Fault("", "malformed", problem.detail)]
    return row


def lacks(contract: Contract, record: Record) -> bool:
    """Whether a record was stored without some feature.

    The recorder writes every feature that it may store, missing values as null: one that
    is not there at all was not on the list of features to store.
    """
    return not contract.positions.keys() <= record.values.keys()


def by_version(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by model and version, in their order."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.model, record.version), []).append(record)
    return found


def scores_by_class(contract: Contract, scored: Scored) -> dict[str, float] | None:
    """The scores of a multiclass answer by class, as a record has them."""
    if scored.scores is None:
        return None
    return dict(zip(map(str, contract.classes or ()), scored.scores, strict=True))
