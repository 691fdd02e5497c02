"""The one way of a request that scores rows, whatever its protocol.

admission -> body -> decode -> inference -> encode -> record. A protocol brings `decode`
and `encode`; everything between them is the same for all. Callers inside this host, who
bring plain values instead of bytes, join at inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from bentos.errors import Fault, Problem
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.protocols.explain import Wish, read_wish
from bentos.protocols.protocol import Call, Reply, Results, Rows, ScoringRoute
from bentos.records.writer.log import Log
from bentos.records.writer.scored_request import ScoredRequest
from bentos.serving.access import scope
from bentos.serving.admission import LARGE_BODY, Admission
from bentos.serving.body import BodyReader
from bentos.serving.explaining import Explaining, require_explainable
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Client, Request, Timing, read_query, read_subject
from bentos.serving.inference import UNENCODED, BatchResult, Inference, refuse, score_rows
from bentos.serving.mirror import Mirror, unpack
from bentos.serving.readiness import Readiness
from bentos.serving.scored.table import to_log
from bentos.settings import Settings

Encode = Callable[[Results], Reply]

# The label of explained requests' metrics.
EXPLAIN = "/v1/explain"

# Contributions that are encoded on the event loop: a millisecond's worth.
_ENCODED_AT_ONCE = 5000


class Pipeline:
    """Scores the requests of one worker."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        readiness: Readiness,
        inference: Inference,
        admission: Admission,
        bodies: BodyReader,
        explaining: Explaining,
        mirror: Mirror | None = None,
    ) -> None:
        self._max_rows = settings.max_rows
        self._batch_max_rows = settings.batch_max_rows
        self._metrics = metrics
        self._log = log
        self._readiness = readiness
        self._inference = inference
        self._admission = admission
        self._bodies = bodies
        self._explaining = explaining
        self._mirror = mirror
        self._is_shadow = settings.shadow

    async def answer(self, route: ScoringRoute, request: Request) -> Reply:
        """Answer one request. Raises Problem, TimeoutError, ClientGone."""
        model = self._readiness.require()
        # Before the body is read: what is shed should cost as little as it can.
        self._admission.require_room(is_large=request.announced_bytes > LARGE_BODY)
        query = read_query(request, route.query)
        wish = read_wish(route, query)
        if wish is not None:
            # Their time is not that of scores, on whatever path they are asked for.
            request.route = EXPLAIN
            scope.require(request, "explain")
            require_explainable(model)
            self._explaining.require_room()
        subject = read_subject(request)
        body = await self._bodies.read(request, route.media_types)
        answers: Sequence[str] | None = None
        if self._is_shadow:
            body, answers = unpack(request.headers, body)
        call = Call(body, query, request.parameters, request.media_type, request.headers)
        timing, client = request.timing, request.client
        self._admission.require_room()
        self._metrics.in_flight_now += 1
        try:
            encode = partial(route.encode, model, call)
            max_rows = self._max_rows if wish is None else self._explaining.max_rows
            # What is to be explained is encoded with its explanations.
            first = encode if wish is None else None
            if self._admission.is_large(body):
                result = await self._admission.run_in_thread(
                    _decode_and_score, route, model, call, max_rows, first, timing, client
                )
            else:
                rows = _decode(route, model, call, max_rows)
                if client.is_limited:
                    client.charge(len(rows.encoded), perf_counter())
                result = await self._score(model, rows, first, timing)
            if wish is not None:
                result = await self._explain(model, result, encode, wish)
            request.rows = result.total
            reply = self._finish(model, result, timing, request.id, subject, client.name, answers)
            if self._mirror is not None and result.ids:
                self._mirror.add(request, body, result.results.ids)
            return reply
        finally:
            self._metrics.in_flight_now -= 1

    async def score(
        self,
        model: LoadedModel,
        rows: Rows,
        encode: Encode,
        request_id: str,
        wish: Wish | None = None,
    ) -> Reply:
        """Score rows that are decoded already; `wish`: explain them too.

        Raises Problem, TimeoutError.
        """
        timing = Timing()
        if wish is not None:
            require_explainable(model)
        with self._admission.admit():
            result = await self._score(model, rows, encode if wish is None else None, timing)
            if wish is not None:
                result = await self._explain(model, result, encode, wish)
            return self._finish(model, result, timing, request_id, None)

    async def _score(
        self, model: LoadedModel, rows: Rows, encode: Encode | None, timing: Timing
    ) -> BatchResult:
        if len(rows.encoded) > self._batch_max_rows:
            return await self._admission.run_in_thread(_score, model, rows, encode, timing)
        if len(rows.encoded) > 1 or (row := rows.encoded[0]) is None:
            return _score(model, rows, encode, timing)
        result = await self._inference.score_row(row, rows.faults[0], timing, rows.pointer_of(0))
        return _encode(encode, result)

    async def _explain(
        self, model: LoadedModel, result: BatchResult, encode: Encode, wish: Wish
    ) -> BatchResult:
        # Where the whole request is refused, nothing was answered that could be explained.
        if result.reply is UNENCODED:
            await self._explaining.attach(model, result, wish)
        if len(result.ids) * len(model.contract.features) > _ENCODED_AT_ONCE:
            return await self._admission.run_in_thread(_encode, encode, result)
        return _encode(encode, result)

    def _finish(
        self,
        model: LoadedModel,
        result: BatchResult,
        timing: Timing,
        request_id: str,
        subject: str | None,
        consumer: str | None = None,
        answers: Sequence[str] | None = None,
    ) -> Reply:
        """Count and log what was scored, and give the answer or raise what it failed with."""
        self._inference.count(model, result)
        reply = result.reply
        if isinstance(reply, Problem):
            raise reply
        recorder = self._log.recorder
        if recorder is None or not result.ids:
            return reply
        beside = _align(result, answers) if self._is_shadow else None
        if result.table is not None:
            recorder.add(
                to_log(result.table, request_id, subject, timing, consumer, beside, result.reasons)
            )
        else:
            recorder.add(
                ScoredRequest(
                    request_id,
                    result.ids,
                    result.rows,
                    result.scored,
                    subject,
                    timing.stages(perf_counter()),
                    consumer,
                    beside,
                    result.reasons,
                )
            )
        return reply


def _align(result: BatchResult, answers: Sequence[str] | None) -> list[str]:
    """For each row that was scored the id of its answer, an empty text where none is known."""
    if not answers or len(answers) != len(result.results.ids):
        return [""] * len(result.ids)
    beside = dict(zip(result.results.ids, answers, strict=True))
    return [beside[own] for own in result.ids]


def _decode(route: ScoringRoute, model: LoadedModel, call: Call, max_rows: int) -> Rows:
    rows = route.decode(model, call, max_rows)
    # A protocol refuses these in its own words; none may get past it.
    if not rows.encoded:
        raise invalid([Fault("", "empty_batch", "must have at least one row")])
    if len(rows.encoded) > max_rows:
        raise invalid([Fault("", "too_many_rows", f"may have at most {max_rows} rows a request")])
    return rows


def _decode_and_score(
    route: ScoringRoute,
    model: LoadedModel,
    call: Call,
    max_rows: int,
    encode: Encode | None,
    timing: Timing,
    client: Client,
) -> BatchResult:
    rows = _decode(route, model, call, max_rows)
    client.charge_in_thread(len(rows.encoded), perf_counter())
    return _score(model, rows, encode, timing)


def _score(model: LoadedModel, rows: Rows, encode: Encode | None, timing: Timing) -> BatchResult:
    """Score and encode many rows; counts nothing, so any thread may call it."""
    if rows.is_all_or_nothing and rows.has_wrong:
        return refuse(rows)
    return _encode(encode, score_rows(model, rows, timing))


def _encode(encode: Encode | None, result: BatchResult) -> BatchResult:
    # The request may be refused as a whole by now, or be encoded later.
    if encode is None or result.reply is not UNENCODED:
        return result
    # An error is kept, not raised: the rows were scored, and are counted before it goes out.
    try:
        result.reply = encode(result.results)
    except Problem as problem:
        result.reply = problem
    return result
