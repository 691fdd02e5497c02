"""Which media type a body has, and which one its answer may have (RFC 9110). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from bentos.protocols import media_type

# RFC 9110, section 12.4.2.
_WEIGHT = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# What every type of ours means anyway.
_IMPLIED = {b"charset": (b"utf-8",), b"header": (b"present",)}
# An honest header has some ten elements.
_MOST_RANGES = 100


def is_plain(parameters: Mapping[bytes, bytes]) -> bool:
    """Whether the parameters say nothing but what holds anyway."""
    return all(value.lower() in _IMPLIED.get(name, ()) for name, value in parameters.items())


def choose(accept: bytes, offers: Sequence[bytes]) -> bytes | None:
    """Choose what to answer with; None where the client takes nothing of it.

    `accept`: the value of Accept; an empty one takes anything. `offers`: media types, the one
    preferred by the server first. RFC 9110, section 12.5.1: the most specific range that
    matches an offer gives its weight. Elements that are no media range are ignored.
    """
    ranges = list(_ranges(accept))
    if not ranges:
        return offers[0]
    best, best_weight = None, 0.0
    for offer in offers:
        weight = _weigh(offer, ranges)
        if weight > best_weight:
            best, best_weight = offer, weight
    return best


def _ranges(accept: bytes) -> Iterator[tuple[bytes, bool, float]]:
    """Each media range, whether it has parameters, and its weight."""
    for element in _split(accept)[:_MOST_RANGES]:
        name, given = media_type.parse(element.strip())
        parameters = dict(given)
        weight = parameters.pop(b"q", b"1")
        if _WEIGHT.fullmatch(weight) and is_plain(parameters):
            yield name, bool(parameters), float(weight)


def _split(accept: bytes) -> list[bytes]:
    # A comma inside a quoted value parts nothing.
    return re.findall(rb'(?:[^,"]|"(?:[^"\\]|\\.)*+"|")++', accept)


def _weigh(offer: bytes, ranges: Sequence[tuple[bytes, bool, float]]) -> float:
    family = offer.partition(b"/")[0] + b"/*"
    found: tuple[int, float] = (0, 0.0)
    for name, has_parameters, weight in ranges:
        if name == offer:
            specific = 4 if has_parameters else 3
        elif name == family:
            specific = 2
        elif name == b"*/*":
            specific = 1
        else:
            continue
        if specific > found[0] or (specific == found[0] and weight > found[1]):
            found = (specific, weight)
    return found[1]
