"""What a format of many rows is: bytes to tables, results to bytes. Pure."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import Problem
from bentos.model.frame import FeatureWarning
from bentos.model.loading import LoadedModel
from bentos.model.tables.table import Table


class TableLimits(msgspec.Struct, frozen=True):
    """What a body read whole, or one part of a stream, may have: rows, and bytes unpacked."""

    max_rows: int
    max_bytes: int


class TableResults(msgspec.Struct, frozen=True, dict=True):
    """The results of a table's rows, by column.

    `first`: the number of the first row. `ids`: of each row's prediction, ASCII of shape
    (rows,). `scores`: float64 of shape (rows,) or (rows, classes). `decided`: the place of each
    row's label among the classes; None for a regression. `problems`: of rows without a score,
    by their place; their numbers mean nothing. `warnings`: of rows with a score.
    """

    first: int
    ids: NDArray[np.bytes_]
    scores: NDArray[np.float64]
    decided: NDArray[np.intp] | None
    problems: Mapping[int, Problem]
    warnings: Mapping[int, tuple[FeatureWarning, ...]]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def id_texts(self) -> list[str]:
        """The ids as texts, made once for the answer and the log."""
        text = self.ids.tobytes().decode()
        width = self.ids.itemsize
        return [text[start : start + width] for start in range(0, len(text), width)]


class Parts(Protocol):
    """A body that arrives in pieces, and the parts of it that can be read by themselves.

    `feed` and `take` cost next to nothing and belong to the event loop's thread; `read` may
    run in another one, one part at a time. All raise Problem.
    """

    def feed(self, data: bytes) -> None:
        """Take in the next piece."""

    def take(self, *, is_idle: bool) -> bytes | None:
        """The next part that is there; `is_idle`: a small one is worth reading, too."""

    def finish(self) -> bytes | None:
        """The rest, once the body has ended; None where nothing is left."""

    def read(self, part: bytes) -> Table | None:
        """Read one part, in order; None where it has no rows."""

    @property
    def held_bytes(self) -> int:
        """The bytes that are held."""


class Writer(Protocol):
    """Writes results one after the other. All its parts together are one body."""

    def begin(self) -> bytes: ...

    def write(self, results: TableResults) -> bytes: ...

    def end(self) -> bytes: ...

    def fail(self, problem: Problem, row: int) -> bytes:
        """What says that no more rows can be answered, from the row of this number on."""


class Format(msgspec.Struct, frozen=True):
    """One media type of many rows.

    `read`: a whole body to a table. `open_parts`: where a body of it can be read as it
    arrives. `open_writer`: of answers; `is_streamed`: whether its writer holds nothing back.
    `package`: what it needs beside the base.
    """

    media_type: bytes
    read: Callable[[LoadedModel, bytes, TableLimits], Table]
    open_writer: Callable[[LoadedModel], Writer]
    open_parts: Callable[[LoadedModel, TableLimits], Parts] | None = None
    is_streamed: bool = True
    package: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the package that it needs is installed."""
        return not self.package or importlib.util.find_spec(self.package) is not None


def too_many_rows(max_rows: int) -> Problem:
    """Make the problem of a body, or a part of a stream, with too many rows."""
    return Problem("too-large", f"there may be at most {max_rows} rows: send smaller parts")
