"""The value of a Content-Type header (RFC 9110, section 8.3). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A parameter: `;`, a name, `=`, and a token or a quoted string. An empty one is allowed.
_TOKEN = rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(?:" + _TOKEN + rb")=" + _TOKEN + rb'|"(?:[^"\\]|\\.)*+"))?'
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def parse(header: bytes) -> tuple[bytes, Mapping[bytes, bytes]]:
    """Split a header into the media type, in lower case, and its parameters by name.

    What is no media type is given back as it stands, so that it equals no type that is known.
    """
    kind, separator, rest = header.partition(b";")
    kind = kind.strip(b" \t").lower()
    if not separator:
        return kind, {}
    parameters: dict[bytes, bytes] = {}
    rest = (separator + rest).rstrip(b" \t")
    place = 0
    while place < len(rest):
        found = _PARAMETER.match(rest, place)
        if found is None or (found[1] and found[1].lower() in parameters):
            return header, {}
        if found[1]:
            value = found[2]
            if value.startswith(b'"'):
                value = _ESCAPE.sub(rb"\1", value[1:-1])
            parameters[found[1].lower()] = value
        place = found.end()
    return kind, parameters
