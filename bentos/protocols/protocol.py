"""What a wire protocol is to the service: bytes to rows, results and errors to bytes.

A protocol does no I/O and knows nothing of batching, the prediction log or metrics: the
service gives every protocol the same ones. It is one module that makes one `Protocol`, and
one line in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from bentos.errors import Fault, Problem
from bentos.model.contract import Contract
from bentos.model.explanation.explainer import Explanation
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.model.tables.table import Lazy, Table
from bentos.model.validation import EncodedRow
from bentos.protocols.formats.format import Format, TableResults

JSON = b"application/json"

# What a key may be good for.
Scope = Literal["predict", "feedback", "explain", "admin"]
# What a route asks of a key: one scope, a valid key of whatever scope, or no key at all.
Need = Literal[Scope, "any", "none"]


class Reply:
    """An answer to a client: body, media type, status and extra headers."""

    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(
        self,
        body: bytes,
        media_type: bytes = JSON,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.body = body
        self.media_type = media_type
        self.status = status
        self.headers = headers


class Call(msgspec.Struct, gc=False):
    """One request as a protocol sees it.

    `body`: whole, not compressed. `query`: its known parameters. `parameters`: the path
    segments that the route's template names. `media_type`: in lower case, without parameters.
    `headers`: by name in lower case. `asked`: what `decode` found in the request that `encode`
    answers by; nothing else reads it.
    """

    body: bytes
    query: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}
    media_type: bytes = JSON
    headers: Mapping[bytes, bytes] = {}
    asked: Any = None


class Rows(msgspec.Struct, gc=False):
    """The rows of one request, in its order.

    `encoded`: None in the place of a row that has faults. `faults`: of each row; those of an
    encoded row are tolerated (unknown categories scored as missing) and become warnings.
    `is_all_or_nothing`: one row with faults refuses the whole request. `pointer`: to the array
    that the rows stand in, in the body; empty where the body is the row. `table`: the same rows
    by column, where they were read so: what needs single rows makes them then.
    """

    encoded: Sequence[EncodedRow | None]
    faults: Sequence[list[Fault]]
    is_all_or_nothing: bool = False
    pointer: str = ""
    table: Table | None = None

    @property
    def has_wrong(self) -> bool:
        """Whether any row has faults that are not tolerated."""
        return None in self.encoded if self.table is None else bool(self.table.faults)

    def pointer_of(self, number: int) -> str:
        """The place of a row in the body, for faults of the row as a whole."""
        return f"{self.pointer}/{number}" if self.pointer else ""


def rows_of(table: Table, *, is_all_or_nothing: bool, pointer: str) -> Rows:
    """Make the rows of a request of a table."""
    rows, wrong, tolerated = table.rows, table.faults, table.tolerated

    def make(start: int, end: int) -> list[EncodedRow | None]:
        some = rows[start:end]
        return [None if place in wrong else row for place, row in enumerate(some, start)]

    def list_faults(start: int, end: int) -> list[list[Fault]]:
        return [wrong.get(place) or tolerated.get(place) or [] for place in range(start, end)]

    count = len(table)
    return Rows(Lazy(count, make), Lazy(count, list_faults), is_all_or_nothing, pointer, table)


class Results(msgspec.Struct, gc=False):
    """The results of one request's rows, in their order.

    `ids`: of each row's prediction, one for each row. `outcomes`: its scores, or why it has
    none. `explanations`: of each row that has scores, None for the others; empty where the request
    asks for none. `table`: the same by column, where rows were scored so.
    """

    ids: Sequence[str]
    outcomes: Sequence[Scored | Problem]
    explanations: Sequence[Explanation | None] = ()
    table: TableResults | None = None


class ScoringRoute(msgspec.Struct, frozen=True):
    """One path that takes rows by POST.

    `path`: a template; `{name}` stands for one segment. `decode`: the model, the request and
    the largest number of rows to the request's rows; raises Problem where it has none. `encode`:
    the results to the answer; raises Problem where the whole answer is an error. `query`: the
    values of each query parameter; None lets any pass and reads none. `media_types`: of bodies
    that it reads; an empty one reads a body whose type is not given. `need`: what a key must be
    good for, where keys are asked for. `explains`: whether scores are explained: never, by the
    query `explain=true`, or always.
    """

    path: str
    decode: Callable[[LoadedModel, Call, int], Rows]
    encode: Callable[[LoadedModel, Call, Results], Reply]
    query: Mapping[str, tuple[str, ...]] | None = {}
    media_types: tuple[bytes, ...] = (JSON,)
    need: Need = "predict"
    explains: Literal["never", "asked", "always"] = "never"


class StreamingRoute(msgspec.Struct, frozen=True):
    """One path that takes many rows by POST in several formats, whole or as they arrive.

    `scoring`: answers a body in the first of the formats whose answer is in the same; its
    path, query and need are those of all. `formats`: that are read and written.
    """

    scoring: ScoringRoute
    formats: tuple[Format, ...]

    @property
    def path(self) -> str:
        """The template of its path."""
        return self.scoring.path


class DocumentRoute(msgspec.Struct, frozen=True):
    """One path that needs no rows, read by GET and HEAD, or by another `method`.

    `read`: makes the answer from the model, which is None while none is loaded; from the
    problem that keeps the worker from being ready, which is None once it is; and from the
    request, without a body. Raises Problem. `query`: as of a `ScoringRoute`. `need`: what a key
    must be good for; `"none"` only where the answer says no more than whether the service lives
    and is ready.
    """

    path: str
    read: Callable[[LoadedModel | None, Problem | None, Call], Reply]
    method: str = "GET"
    query: Mapping[str, tuple[str, ...]] | None = {}
    need: Need = "predict"


class Limits(msgspec.Struct, frozen=True):
    """What one request may have at most: rows, bytes of its body, and rows to explain."""

    max_rows: int
    max_body_bytes: int
    explain_max_rows: int


class Description(msgspec.Struct):
    """A protocol's part of the OpenAPI document: its paths, and the schemas they refer to."""

    paths: dict[str, object]
    schemas: dict[str, object]


class Protocol(msgspec.Struct, frozen=True):
    """One wire protocol.

    `prefixes`: paths that are one of them, or lie below one, belong to this protocol: what is
    not among its routes is answered with an error in its shape. `encode_problem`: an error and
    the request's id to an answer. `describe`: its part of the OpenAPI document.
    """

    name: str
    prefixes: tuple[str, ...]
    routes: tuple[ScoringRoute | StreamingRoute | DocumentRoute, ...]
    encode_problem: Callable[[Problem, str], Reply]
    describe: Callable[[Contract, Limits], Description]
