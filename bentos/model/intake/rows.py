"""Frames of example rows as the JSON rows that a client would send."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.errors import IntakeError, Problem
from bentos.model import bundle
from bentos.model.contract import Contract
from bentos.model.intake.generated import Row
from bentos.model.json_rows import RowReader
from bentos.model.validation import EncodedRow, Encoder

# A frame of shape (rows, features), and float64 of shape (rows, scores).
ScoredRows = tuple[pd.DataFrame, NDArray[np.float64]]

# What JSON, or float64, cannot carry: such rows exist in training, but no client can send them.
_UNSENDABLE = ("not_finite", "out_of_bounds")


class SentRows(msgspec.Struct, frozen=True):
    """Rows that a client could send: as JSON, and encoded as the server does it.

    `kept`: their positions among the rows that they were made of.
    """

    documents: list[msgspec.Raw]
    encoded: list[EncodedRow]
    kept: list[int]


def members_of(frame: pd.DataFrame) -> list[Row]:
    """Give each row of a frame as JSON members: NaN, None, NaT and pandas' NA become None."""
    columns = {str(name): frame[name].astype(object).to_list() for name in frame.columns}
    return [
        {name: _json_value(values[row]) for name, values in columns.items()}
        for row in range(len(frame))
    ]


def _json_value(value: object) -> object:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def send(contract: Contract, rows: Sequence[Row], what: str) -> SentRows:
    """Take rows in by the door that clients use; leave out those that no client can send.

    Raises IntakeError for a row that the contract refuses for another reason; `what` says
    where the rows come from.
    """
    read_row = RowReader(Encoder(contract)).read_row
    sent = SentRows([], [], [])
    for number, row in enumerate(rows):
        try:
            document = json.dumps({name: row[name] for name in contract.names}).encode()
            encoded = read_row(document)[0]
        except TypeError:
            raise IntakeError(
                f"row {number} of {what} has a value that JSON has no form for"
            ) from None
        except Problem as problem:
            if all(fault.code in _UNSENDABLE for fault in problem.faults):
                continue
            fault = next(f for f in problem.faults if f.code not in _UNSENDABLE)
            raise IntakeError(
                f"row {number} of {what} does not meet the model's own signature: {fault.pointer} "
                f"{fault.detail}; infer the signature from a frame that has such rows"
            ) from None
        sent.documents.append(msgspec.Raw(document))
        sent.encoded.append(encoded)
        sent.kept.append(number)
    return sent


def require_columns(frame: pd.DataFrame, contract: Contract) -> None:
    """Raise IntakeError where golden rows lack one of the contract's columns."""
    lacking = [name for name in contract.names if name not in frame.columns]
    if lacking:
        raise IntakeError(f"{bundle.GOLDEN} has no column '{lacking[0]}'")


def check_scored(scored: ScoredRows, contract: Contract, file: str) -> None:
    """Hold the scores of a file against the contract: their number, and their range.

    Raises IntakeError, naming the file and the first row.
    """
    scores = scored[1]
    count = len(contract.classes or ()) if contract.task == "multiclass" else 1
    if scores.shape[1] != count:
        raise IntakeError(f"{file} has {scores.shape[1]} scores a row, the model gives {count}")
    wrong = ~np.isfinite(scores)
    if contract.task != "regression":
        wrong |= (scores < 0.0) | (scores > 1.0)
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        kind = "number" if contract.task == "regression" else "probability from 0 to 1"
        raise IntakeError(f"row {row} of {file} has a score that is no {kind}")
