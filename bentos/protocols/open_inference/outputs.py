"""The outputs of a model: which there are, and their values as tensors. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from bentos.errors import Fault, Problem
from bentos.model.contract import Contract
from bentos.model.scoring import Scored
from bentos.protocols.open_inference import datatypes
from bentos.protocols.open_inference.datatypes import DATATYPES
from bentos.protocols.open_inference.request import Document

_TEXT = {"content_type": "str"}


class Output(msgspec.Struct, frozen=True):
    """One output of a model. `width`: elements of a row; `parameters`: of its metadata."""

    name: str
    datatype: str
    width: int = 1
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct):
    """What a request asks of its answer: each output, and whether as binary data."""

    id: str | None
    outputs: list[tuple[Output, bool]]


def of_model(contract: Contract) -> tuple[Output, ...]:
    """The outputs of a model, by its task."""
    ids = Output("id", "BYTES", parameters=_TEXT)
    classes = contract.classes
    if classes is None:
        return Output("score", "FP64"), ids
    datatype = datatypes.of_categories(classes)
    label = Output("label", datatype, parameters=_TEXT if datatype == "BYTES" else None)
    names = msgspec.json.encode(classes).decode()
    if contract.task == "multiclass":
        scores = Output("probabilities", "FP64", len(classes), {"classes": names})
    else:
        scores = Output("score", "FP64", parameters={"class": str(classes[-1])})
    return scores, label, ids


def choose(known: Mapping[str, Output], document: Document) -> Wanted:
    """Find out what a request asks for. Raises Problem for what the model does not have."""
    all_binary = document.known.get("binary_data_output", False)
    if not isinstance(all_binary, bool):
        raise _malformed("/parameters/binary_data_output", "must be true or false")
    request_id = document.id if isinstance(document.id, str) else None
    if not document.outputs:
        return Wanted(request_id, [(output, all_binary) for output in known.values()])
    wanted: dict[str, tuple[Output, bool]] = {}
    for number, asked in enumerate(document.outputs):
        pointer = f"/outputs/{number}"
        output = known.get(asked.name)
        if output is None or asked.name in wanted:
            detail = f"must be another one of the model's outputs: {', '.join(known)}"
            raise _malformed(f"{pointer}/name", detail)
        parameters = asked.parameters if isinstance(asked.parameters, dict) else {}
        if parameters.get("classification"):
            detail = "is not supported: ask for the label"
            raise _malformed(f"{pointer}/parameters/classification", detail)
        is_binary = parameters.get("binary_data", all_binary)
        if not isinstance(is_binary, bool):
            raise _malformed(f"{pointer}/parameters/binary_data", "must be true or false")
        wanted[asked.name] = (output, is_binary)
    return Wanted(request_id, list(wanted.values()))


def values_of(output: Output, ids: Sequence[str], scored: Sequence[Scored]) -> list[Any]:
    """The elements of an output, row by row."""
    if output.name == "id":
        return list(ids)
    if output.name == "score":
        return [one.score for one in scored]
    if output.name == "label":
        labels = [one.label for one in scored]
        # Labels of several types are texts, as their datatype says.
        return list(map(str, labels)) if output.datatype == "BYTES" else labels
    return [score for one in scored for score in one.scores or ()]


def to_binary(output: Output, values: list[Any]) -> bytes:
    """Write elements as Triton's binary tensor extension has them."""
    if output.datatype != "BYTES":
        return np.array(values, dtype=DATATYPES[output.datatype].dtype).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _malformed(pointer: str, detail: str) -> Problem:
    return Problem("malformed", detail, faults=[Fault(pointer, "malformed", detail)])
