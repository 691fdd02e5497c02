"""`infer`: tensors by feature name to rows, results to output tensors. Pure.

All or nothing: an answer has one element for each row, so one wrong row refuses the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from bentos.errors import Fault, Problem
from bentos.model import json_rows
from bentos.model.contract import Contract
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.protocols.open_inference import outputs, request, tensors
from bentos.protocols.open_inference import plan as plans
from bentos.protocols.open_inference.naming import require_known
from bentos.protocols.open_inference.outputs import Wanted
from bentos.protocols.open_inference.plan import Plan
from bentos.protocols.open_inference.request import Document
from bentos.protocols.protocol import Call, Reply, Results, Rows

OCTETS = b"application/octet-stream"

# Wrong names of inputs that one answer lists.
_MAX_NAMES = 20


class AnswerTensor(msgspec.Struct, omit_defaults=True, gc=False):
    """One output tensor of an answer."""

    name: str
    datatype: str
    shape: tuple[int, int]
    parameters: dict[str, Any] | None = None
    data: Sequence[Any] | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct, omit_defaults=True, gc=False):
    """The answer of `infer`."""

    model_name: str
    model_version: str
    outputs: list[AnswerTensor]
    id: str | None = None


def decode(model: LoadedModel, call: Call, max_rows: int) -> Rows:
    """Read the tensors of a request. Raises Problem with every fault."""
    require_known(model, call)
    features = len(model.contract.features)
    document, parts = request.read(call, max_rows * features, features)
    content_type = document.known.get("content_type")
    if content_type is not None and content_type != "pd":
        detail = "must be pd: each input is a column"
        _refuse([Fault("/parameters/content_type", "malformed", detail)])
    plan = plans.of_model(model)
    call.asked = outputs.choose(plan.outputs, document)
    count = _count(document, max_rows)
    columns, faults, numbers = _columns(model.contract, plan, document, parts, count)

    def place(position: int, row: int) -> str:
        return f"/inputs/{numbers[position]}/data/{row}"

    if faults:
        _refuse(faults, count)
    rows, tolerated, faults = model.columns.encode(columns, count, place, "/inputs")
    if faults:
        _refuse(faults, count)
    return Rows(rows, tolerated, is_all_or_nothing=True, pointer="/rows")


def _refuse(faults: list[Fault], rows: int = 0) -> NoReturn:
    raise json_rows.invalid(faults, rows=rows)


def _count(document: Document, max_rows: int) -> int:
    """The number of rows, which all tensors must have."""
    counts: dict[int, int] = {}
    faults: list[Fault] = []
    last: object = None
    for number, tensor in enumerate(document.inputs):
        # Most requests have one shape for all.
        if tensor.shape == last:
            continue
        last = tensor.shape
        try:
            counts.setdefault(tensors.count_rows(tensor), number)
        except tensors.Wrong as wrong:
            faults += _placed(wrong, number)
    if faults:
        _refuse(faults)
    if not counts:
        _refuse([Fault("/inputs", "empty_batch", "must have a tensor for each feature")])
    if len(counts) > 1:
        detail = "must have as many rows as the other inputs"
        _refuse(
            [Fault(f"/inputs/{n}/shape", "malformed", detail) for n in list(counts.values())[1:]]
        )
    (count,) = counts
    if count == 0:
        _refuse([Fault("/inputs/0/shape", "empty_batch", "must have at least one row")])
    if count > max_rows:
        detail = f"may have at most {max_rows} rows a request"
        _refuse([Fault("/inputs/0/shape", "too_many_rows", detail)])
    return count


def _columns(
    contract: Contract,
    plan: Plan,
    document: Document,
    parts: Sequence[bytes | None],
    count: int,
) -> tuple[dict[int, list[Any]], list[Fault], dict[int, int]]:
    """The values of each feature by its position, what is wrong, and the number of its input."""
    columns: dict[int, list[Any]] = {}
    numbers: dict[int, int] = {}
    faults: list[Fault] = []
    unknown = 0
    for number, (tensor, part) in enumerate(zip(document.inputs, parts, strict=True)):
        plain = plan.read(tensor, count) if part is None else None
        if plain is not None and plain[0] not in numbers:
            place, values = plain
            columns[place], numbers[place] = values, number
            continue
        position = contract.positions.get(tensor.name)
        if position is None:
            unknown += 1
            if unknown <= _MAX_NAMES:
                detail = "is not a feature of this model"
                faults.append(Fault(f"/inputs/{number}/name", "unknown_feature", detail))
        elif position in numbers:
            detail = "repeats the name of an earlier input"
            faults.append(Fault(f"/inputs/{number}/name", "duplicate_key", detail))
        else:
            numbers[position] = number
            try:
                feature = contract.features[position]
                columns[position] = tensors.read_values(feature, tensor, part, count)
            except tensors.Wrong as wrong:
                faults += _placed(wrong, number)
                # What is wrong with it is said: its values are not missing beside that.
                columns[position] = []
    if faults:
        faults += [
            Fault("/inputs", "missing", f"'{feature.name}' is required")
            for position, feature in enumerate(contract.features)
            if position not in columns and not feature.optional
        ]
    return columns, faults, numbers


def _placed(wrong: tensors.Wrong, number: int) -> list[Fault]:
    return [
        Fault(f"/inputs/{number}{fault.pointer}", fault.code, fault.detail)
        for fault in wrong.faults
    ]


def encode(model: LoadedModel, call: Call, results: Results) -> Reply:
    """Answer with the outputs that were asked for. Raises Problem where a row has no score."""
    scored: list[Scored] = []
    for outcome in results.outcomes:
        if isinstance(outcome, Problem):
            raise outcome
        scored.append(outcome)
    wanted: Wanted = call.asked
    made: list[AnswerTensor] = []
    parts: list[bytes] = []
    for output, is_binary in wanted.outputs:
        values = outputs.values_of(output, results.ids, scored)
        shape = (len(scored), output.width)
        if is_binary:
            parts.append(outputs.to_binary(output, values))
            size = {"binary_data_size": len(parts[-1])}
            made.append(AnswerTensor(output.name, output.datatype, shape, size))
            continue
        parameters = _TEXT if output.datatype == "BYTES" else None
        made.append(AnswerTensor(output.name, output.datatype, shape, parameters, values))
    stored = model.stored
    document = json_rows.encode(Answer(stored.name, stored.version, made, wanted.id))
    if not parts:
        return Reply(document)
    headers = {request.LENGTH_HEADER: str(len(document))}
    return Reply(b"".join([document, *parts]), OCTETS, headers=headers)


_TEXT: dict[str, Any] = {"content_type": "str"}
