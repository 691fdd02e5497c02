"""What a worker and the process that delivers its rows say to each other, over two pipes.

4 bytes: length, little endian | a message in MessagePack
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import msgspec

from bentos.records.writer.spool.files import write_all

_LENGTH = struct.Struct("<I")


class Setup(msgspec.Struct, tag=True, array_like=True):
    """The first message to the process: what it works for, and with what.

    `url`: of the store; it may hold a password, so it is in no argument and no variable.
    `source`: a `RecordSource` as JSON.
    """

    url: str
    data_dir: str
    spool: str
    spool_bytes: int
    log_level: str
    source: bytes


class Deliver(msgspec.Struct, tag=True, array_like=True):
    """A segment to bring to the store. `path`, or `data` where it is on no disk."""

    number: int
    rows: int
    size: int
    first_id: str
    is_retry: bool
    path: str | None
    data: bytes | None


class Finish(msgspec.Struct, tag=True, array_like=True):
    """No more segments come: deliver what is there, for at most so long, and end."""

    within_seconds: float


class Report(msgspec.Struct, tag=True, array_like=True):
    """What the process did since its last report.

    `done`: numbers of segments whose rows are in the store, or will never be. `kept`: those of
    them whose files must stay, as they cannot be read. `adopted_*`: what it took over from
    dead workers and has not delivered yet.
    """

    done: list[int]
    kept: list[int]
    written: int
    refused: int
    unreadable: int
    write_seconds: list[float]
    adopted_rows: int
    adopted_bytes: int
    adopted_first_id: str | None


Message = Setup | Deliver | Finish | Report

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Message] = msgspec.msgpack.Decoder(Message).decode


def send(descriptor: int, message: Message) -> None:
    """Send a message; waits while the pipe is full. Raises OSError where nobody reads."""
    payload = _encode(message)
    write_all(descriptor, _LENGTH.pack(len(payload)) + payload)


def receive(descriptor: int) -> Message | None:
    """The next message, waiting for it; None where the other side is gone."""
    head = _read(descriptor, _LENGTH.size)
    if head is None:
        return None
    payload = _read(descriptor, _LENGTH.unpack(head)[0])
    return None if payload is None else _decode(payload)


def _read(descriptor: int, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        part = os.read(descriptor, count - len(data))
        if not part:
            return None
        data += part
    return bytes(data)
