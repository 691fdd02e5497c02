"""Bodies that schemathesis cannot write by itself: it reads this file for them."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def write_lines(_: Any, value: Any) -> bytes:
    """JSON lines: one value a line."""
    values = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(one).encode() for one in values)


@schemathesis.serializer(
    "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "text/csv"
)
def write_as_it_is(_: Any, value: Any) -> bytes:
    """Formats of bytes: whatever was generated, mostly no such file at all."""
    return value if isinstance(value, bytes) else str(value).encode()
