"""Requests of many rows in several formats: which one comes, which one goes, whole or streamed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import perf_counter

from bentos.errors import Fault, Problem
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.protocols import media_type
from bentos.protocols.explain import read_wish
from bentos.protocols.formats import negotiation
from bentos.protocols.formats.format import Format, TableLimits
from bentos.protocols.protocol import Reply, StreamingRoute
from bentos.records.writer.log import Log
from bentos.serving.admission import LARGE_BODY, Admission
from bentos.serving.body import BodyReader
from bentos.serving.bulk.streaming import Streams
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Client, Request, Streamed, Timing, read_query, read_subject
from bentos.serving.pipeline import Pipeline
from bentos.serving.readiness import Readiness
from bentos.serving.scored.table import TableResult, count_table, score_table, to_log
from bentos.settings import Settings


class Bulk:
    """Answers the streaming routes of one worker."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        readiness: Readiness,
        admission: Admission,
        bodies: BodyReader,
        pipeline: Pipeline,
    ) -> None:
        self._limits = TableLimits(settings.max_rows, settings.max_body_bytes)
        self._metrics = metrics
        self._log = log
        self._readiness = readiness
        self._admission = admission
        self._bodies = bodies
        self._pipeline = pipeline
        self._streams = Streams(settings, metrics, log, admission, bodies)

    async def answer(self, route: StreamingRoute, request: Request) -> Reply | Streamed:
        """Answer one request. Raises Problem, TimeoutError, ClientGone."""
        source = _read_source(route, request)
        target = _choose_target(route, source, request)
        if source is target is route.formats[0]:
            return await self._pipeline.answer(route.scoring, request)
        model = self._readiness.require()
        self._admission.require_room(is_large=request.announced_bytes > LARGE_BODY)
        query = read_query(request, route.scoring.query)
        if read_wish(route.scoring, query) is not None:
            raise Problem("bad-query", "explanations come for JSON bodies, and as JSON alone")
        subject = read_subject(request)
        is_all_or_nothing = query.get("on_error") == "reject"
        # What is refused as a whole has to be read whole first.
        if source.open_parts is not None and target.is_streamed and not is_all_or_nothing:
            return await self._streams.open(model, source, target, request, subject)
        body = await self._bodies.read(request, (source.media_type,))
        timing, client = request.timing, request.client
        with self._admission.admit():
            work = partial(_answer, model, source, target, body, self._limits, timing, client)
            result, data = await self._admission.run_in_thread(work, is_all_or_nothing)
            request.rows = len(result.results)
            count_table(self._metrics, model, result)
            recorder = self._log.recorder
            if recorder is not None and len(result.kept):
                recorder.add(to_log(result, request.id, subject, timing, client.name))
        headers = {"X-Model": f"{model.stored.name}:{model.stored.version}", "Vary": "Accept"}
        return Reply(data, target.media_type, headers=headers)


def _answer(
    model: LoadedModel,
    source: Format,
    target: Format,
    body: bytes,
    limits: TableLimits,
    timing: Timing,
    client: Client,
    is_all_or_nothing: bool,
) -> tuple[TableResult, bytes]:
    table = source.read(model, body, limits)
    if client.is_limited:
        client.charge_in_thread(len(table), perf_counter())
    if is_all_or_nothing and table.faults:
        raise _refuse(table.faults, len(table))
    result = score_table(model, table, 0, timing)
    if is_all_or_nothing and result.rejected:
        # The model itself failed on rows that look good: their scores are not counted.
        raise _refuse({0: list(result.faults)}, len(table))
    writer = target.open_writer(model)
    return result, writer.begin() + writer.write(result.results) + writer.end()


def _refuse(faults: Mapping[int, list[Fault]], rows: int) -> Problem:
    return invalid([fault for row in sorted(faults) for fault in faults[row]], rows=rows)


def _read_source(route: StreamingRoute, request: Request) -> Format:
    """The format of a request's body. Raises Problem."""
    given = request.headers.get(b"content-type", b"")
    name, parameters = media_type.parse(given)
    known = {one.media_type: one for one in route.formats}
    found = known.get(name) if negotiation.is_plain(parameters) else None
    if found is not None and found.is_available:
        return found
    media_types = [one.media_type.decode() for one in route.formats if one.is_available]
    detail = f"send the body as {', '.join(media_types[:-1])} or {media_types[-1]}; text in UTF-8"
    if found is not None:
        detail = f"this server reads no such body: it has no {found.package}; {detail}"
    raise Problem("unsupported-media-type", detail, headers={"Accept": ", ".join(media_types)})


def _choose_target(route: StreamingRoute, source: Format, request: Request) -> Format:
    """The format of a request's answer: the body's own unless another is asked for."""
    accept = b",".join(value for name, value in request.scope["headers"] if name == b"accept")
    if not accept or accept == b"*/*":
        return source
    offers = [source, *(one for one in route.formats if one is not source and one.is_available)]
    chosen = negotiation.choose(accept, [one.media_type for one in offers])
    for one in offers:
        if one.media_type == chosen:
            return one
    media_types = [one.media_type.decode() for one in offers]
    detail = f"answers are {', '.join(media_types[:-1])} or {media_types[-1]}"
    lacking = [one for one in route.formats if not one.is_available]
    if lacking and negotiation.choose(accept, [one.media_type for one in lacking]) is not None:
        detail = f"this server has no {lacking[0].package}; {detail}"
    raise Problem("not-acceptable", detail)
