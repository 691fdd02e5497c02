"""Rows of the log, and references, as samples: read by the contract, or refused."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitoring.drift.decision.sample import (
    SCORE_PREFIX,
    UNSEEN,
    Sample,
    kind_of,
    write_category,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bentos.model.contract import Contract, Feature
    from bentos.records.record import Record

_UNKNOWN_CATEGORY = "unknown_category"


class SampleError(Exception):
    """Rows are not what the contract says; the message names the feature, and no value."""


def read_reference(data: bytes, contract: Contract) -> Sample:
    """Read the reference that travels with a version (`bentos.model.bundle`).

    Raises SampleError where its columns are not those of the contract: it is another model's.
    """
    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError) as error:
        raise SampleError(f"the reference cannot be read: {type(error).__name__}") from None
    score_columns = [name for name in frame.columns if str(name).startswith(SCORE_PREFIX)]
    names = [str(name) for name in frame.columns if name not in score_columns]
    missing = [name for name in contract.names if name not in names]
    extra = [name for name in names if name not in contract.positions]
    if missing or extra:
        raise SampleError(
            f"the reference is of another contract: it lacks {missing or 'nothing'}, "
            f"and has besides {extra or 'nothing'}"
        )
    classes = [str(name)[len(SCORE_PREFIX) :] for name in score_columns]
    if classes != _score_names(contract):
        raise SampleError("the reference is of another contract: its scores are of other classes")
    scores = frame[score_columns].astype(np.float64).set_axis(classes, axis=1)
    _check_scores(scores)
    columns = {
        feature.name: _read_column(feature, frame[feature.name].tolist())
        for feature in contract.features
    }
    return Sample(pd.DataFrame(columns), scores)


def read_records(records: Sequence[Record], contract: Contract) -> Sample:
    """Read predictions of one version. Raises SampleError for what breaks the contract."""
    rows = [record.values for record in records]
    unseen = [
        {_last(warned.pointer) for warned in record.warnings if warned.code == _UNKNOWN_CATEGORY}
        if record.warnings
        else ()
        for record in records
    ]
    strangers = {name for row in rows for name in row if name not in contract.positions}
    if strangers:
        raise SampleError(
            f"the log has features that the contract does not: {sorted(strangers)[:5]}"
        )
    columns: dict[str, NDArray[np.float64] | NDArray[np.object_]] = {}
    recorded: dict[str, NDArray[np.bool_]] = {}
    for feature in contract.features:
        name = feature.name
        # `null` is recorded for a missing value; where there is no key, none was to be stored.
        has_it = np.array([name in row for row in rows], dtype=bool)
        if not has_it.any():
            continue
        if not has_it.all():
            recorded[name] = has_it
        values = [
            UNSEEN if name in row and name in stranger else row.get(name)
            for row, stranger in zip(rows, unseen, strict=True)
        ]
        columns[name] = _read_column(feature, values)
    names = _score_names(contract)
    scores = pd.DataFrame(
        {name: [_read_score(record, name) for record in records] for name in names},
        dtype=np.float64,
    )
    _check_scores(scores)
    features = pd.DataFrame(columns, index=range(len(rows)))
    return Sample(features, scores, tuple(r.id for r in records), recorded)


def _score_names(contract: Contract) -> list[str]:
    if contract.task == "multiclass" and contract.classes is not None:
        return [str(name) for name in contract.classes]
    return [""]


def _read_score(record: Record, name: str) -> float:
    value = record.score if name == "" else (record.scores or {}).get(name)
    return np.nan if value is None else value


def _check_scores(scores: pd.DataFrame) -> None:
    if not np.isfinite(scores.to_numpy()).all():
        raise SampleError("a score is missing or not finite")


def _read_column(
    feature: Feature, values: Iterable[object]
) -> NDArray[np.float64] | NDArray[np.object_]:
    if kind_of(feature) == "categorical":
        texts = [write_category(value) for value in values]
        column = np.empty(len(texts), dtype=object)
        column[:] = texts
        return column
    # pandas' nullable columns give `pd.NA`, which is no float.
    present = [np.nan if value is pd.NA else value for value in values]
    try:
        numbers = pd.Series(present, dtype=object).astype(np.float64).to_numpy()
    except (TypeError, ValueError):
        raise SampleError(f"feature {feature.name!r} has values that are no numbers") from None
    if feature.dtype == "float":
        # The reference holds what training saw, the log what the client sent: 0.1 is another
        # number in float32. The model sees it rounded (`bentos.model.frame`).
        with np.errstate(over="ignore"):
            numbers = numbers.astype(np.float32).astype(np.float64)
    if np.isinf(numbers).any():
        raise SampleError(f"feature {feature.name!r} has infinite values")
    return numbers


def _last(pointer: str) -> str:
    # RFC 6901, section 4.
    return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
