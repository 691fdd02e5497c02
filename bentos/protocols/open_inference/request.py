"""The body of an infer request: a JSON document, and the binary data behind it. Pure.

The binary data is Triton's extension of the protocol (extension_binary_data.md): the header
`Inference-Header-Content-Length` says how long the document is, and each input's parameter
`binary_data_size` how many of the bytes after it are its own, in the order of the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bentos.errors import Fault, Problem
from bentos.model.values.json_limits import require_few_values
from bentos.protocols.json_document import DocumentReader
from bentos.protocols.protocol import Call

LENGTH_HEADER = "Inference-Header-Content-Length"
_LENGTH_KEY = LENGTH_HEADER.lower().encode()

# Inputs, outputs and parameters that may be mistakes, above those that the model has.
_SPARE = 1000

Parameters = dict[str, Any] | None | msgspec.UnsetType
_UNSET = msgspec.UNSET


class Tensor(msgspec.Struct, gc=False):
    """One input as it stands in the document."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | msgspec.UnsetType | None = _UNSET
    parameters: Parameters = _UNSET

    @property
    def known(self) -> dict[str, Any]:
        """Its parameters; none where there are none."""
        return self.parameters if isinstance(self.parameters, dict) else {}


class RequestedOutput(msgspec.Struct, gc=False):
    """One output that the client asks for."""

    name: str
    parameters: Parameters = _UNSET


class Document(msgspec.Struct, gc=False):
    """The document of an infer request. Members that are not listed here are ignored."""

    inputs: list[Tensor]
    outputs: list[RequestedOutput] | msgspec.UnsetType | None = _UNSET
    id: str | msgspec.UnsetType | None = _UNSET
    parameters: Parameters = _UNSET
    # Clients repeat the path here. It is the path that counts.
    model_name: str | msgspec.UnsetType | None = _UNSET
    model_version: str | msgspec.UnsetType | None = _UNSET

    @property
    def known(self) -> dict[str, Any]:
        """Its parameters; none where there are none."""
        return self.parameters if isinstance(self.parameters, dict) else {}


def read(call: Call, max_values: int, features: int) -> tuple[Document, Sequence[bytes | None]]:
    """Read a body: its document, and of each input its binary data, None where it has none.

    Raises Problem for everything that is malformed.
    """
    body, binary = _split(call)
    spare = 2 * features + _SPARE
    require_few_values(body, max_values + 8 * spare)
    # An input has five members, and a parameter or two.
    document = _READER.read(body, 2 * spare, 8 * spare)
    return document, _parts(document.inputs, binary)


def _split(call: Call) -> tuple[bytes, bytes]:
    given = call.headers.get(_LENGTH_KEY)
    if given is None:
        return call.body, b""
    if not given.isdigit() or len(given) > 19:
        raise Problem("bad-header", f"{LENGTH_HEADER} must be a number of bytes")
    length = int(given)
    if length > len(call.body):
        raise Problem("bad-header", f"{LENGTH_HEADER} is more than the body has bytes")
    if length == 0:
        raise Problem(
            "bad-header",
            f"{LENGTH_HEADER} is 0: inputs are told apart by name, so a document must name them",
        )
    return call.body[:length], call.body[length:]


def _parts(inputs: Sequence[Tensor], binary: bytes) -> Sequence[bytes | None]:
    if not binary and not any(tensor.parameters for tensor in inputs):
        return (None,) * len(inputs)
    parts: list[bytes | None] = []
    place = 0
    for number, tensor in enumerate(inputs):
        size = tensor.known.get("binary_data_size") if tensor.parameters else None
        if size is None:
            parts.append(None)
            continue
        pointer = f"/inputs/{number}/parameters/binary_data_size"
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise _malformed(pointer, "must be a number of bytes")
        if isinstance(tensor.data, list):
            raise _malformed(f"/inputs/{number}/data", "may not come beside binary data")
        if size > len(binary) - place:
            raise _malformed(pointer, "is more than the body has left")
        parts.append(binary[place : place + size])
        place += size
    if place != len(binary):
        raise _malformed("", f"the last {len(binary) - place} bytes of the body belong to no input")
    return parts


def _malformed(pointer: str, detail: str) -> Problem:
    return Problem("malformed", detail, faults=[Fault(pointer, "malformed", detail)])


def _count_members(document: Document) -> int:
    members = 1 + _own_members(document.parameters)
    members += document.outputs is not _UNSET
    members += document.id is not _UNSET
    members += document.model_name is not _UNSET
    members += document.model_version is not _UNSET
    for tensor in document.inputs:
        members += 3 if tensor.data is _UNSET else 4
        if tensor.parameters is not _UNSET:
            members += _own_members(tensor.parameters)
    for output in document.outputs or ():
        members += 1 + _own_members(output.parameters)
    return members


def _own_members(parameters: Parameters) -> int:
    return 0 if parameters is _UNSET else 1 + len(parameters or ())


def _strings(document: Document) -> Iterator[str]:
    yield from _texts((document.id, document.model_name, document.model_version))
    for one in (document, *document.inputs, *(document.outputs or ())):
        parameters = one.parameters
        if isinstance(parameters, dict):
            yield from parameters
            yield from _texts(parameters.values())
    for output in document.outputs or ():
        yield output.name
    for tensor in document.inputs:
        yield tensor.name
        yield tensor.datatype
        if isinstance(tensor.data, list):
            yield from _texts(tensor.data)


def _texts(values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))


_READER = DocumentReader(Document, _count_members, _strings)
