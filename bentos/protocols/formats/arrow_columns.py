"""Columns of Arrow's types as columns of a contract. Needs pyarrow, which it loads when called.

No type that can hide a large column in few bytes is read: nothing nested, run-end encoded or
of an extension. A dictionary's texts are never written out for each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.errors import Fault, Problem
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.tables.columns import Column, Levels, Numbers, Values
from bentos.model.tables.table import Table
from bentos.model.validation import escape_pointer
from bentos.protocols.formats.format import TableLimits

_READ = "numbers, booleans, texts, dictionaries of these, or null"


def bind(model: LoadedModel, schema: Any) -> dict[int, int]:
    """Bind the columns of a schema to features. Raises Problem with every fault of it."""
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - a worker loads it when it is asked for

    bound, faults = model.tables.bind(schema.names)
    for position, place in bound.items():
        if not _is_read(pa, schema.field(place).type):
            pointer = f"/{escape_pointer(model.contract.names[position])}"
            detail = f"has a column type that is not read: send {_READ}"
            faults.append(Fault(pointer, "wrong_type", detail))
    if faults:
        raise invalid(faults)
    return bound


def encode(
    model: LoadedModel,
    arrays: Sequence[Any],
    bound: Mapping[int, int],
    rows: int,
    limits: TableLimits,
    first: int,
) -> Table:
    """Encode arrays of `rows` values each, validated. `bound`: as `bind` gives it."""
    import pyarrow as pa  # noqa: PLC0415 - a worker loads it when it is asked for

    columns = {
        position: _column(pa, arrays[place], limits.max_bytes) for position, place in bound.items()
    }
    return model.tables.encode(columns, rows, "", first)


def _is_read(pa: Any, kind: Any) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return not types.is_dictionary(kind.value_type) and _is_read(pa, kind.value_type)
    # An extension's own type is none of these.
    return any(is_one(kind) for is_one in _known(types))


def _known(types: Any) -> Iterable[Any]:
    yield from (types.is_null, types.is_boolean, types.is_integer, types.is_floating)
    yield from (types.is_string, types.is_large_string, types.is_string_view)


def _column(pa: Any, array: Any, max_bytes: int) -> Column:
    kind = array.type
    types = pa.types
    if types.is_dictionary(kind):
        if _is_text(types, kind.value_type):
            return _texts(pa, array, max_bytes)
        if types.is_null(kind.value_type):
            return Values([None] * len(array))
        # As many bytes as the numbers of these rows; a dictionary larger than that stays one.
        array = array.dictionary.take(array.indices)
    elif _is_text(types, kind):
        _require_short(pa, array, max_bytes)
        return _texts(pa, array.dictionary_encode(), max_bytes)
    elif types.is_null(kind):
        return Values([None] * len(array))
    missing: NDArray[np.bool_] | None = None
    if array.null_count:
        missing = array.is_null().to_numpy(zero_copy_only=False)
        array = array.fill_null(False if types.is_boolean(array.type) else 0)
    return Numbers(array.to_numpy(zero_copy_only=False), missing)


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _texts(pa: Any, array: Any, max_bytes: int) -> Levels:
    names, codes = array.dictionary, array.indices
    if codes.null_count:
        codes = codes.cast(pa.int64()).fill_null(-1)
    places = codes.to_numpy(zero_copy_only=False).astype(np.intp)
    if len(names) > len(places):
        # Only what the rows use: a dictionary may have millions of entries for a few rows.
        used, places = np.unique(places, return_inverse=True)
        has_missing = len(used) and used[0] < 0
        if has_missing:
            used, places = used[1:], places - 1
        names = names.take(pa.array(used))
    _require_short(pa, names, max_bytes)
    return Levels(places, names.to_pylist())


def _require_short(pa: Any, array: Any, max_bytes: int) -> None:
    """Raise Problem where views of the same bytes add up to more than may be sent."""
    if not pa.types.is_string_view(array.type) or not len(array):
        return
    # Arrow's columnar format, "Variable-size Binary View Layout": 16 bytes, the length first.
    views = np.frombuffer(array.buffers()[1], dtype=np.int32)
    lengths = views[4 * array.offset : 4 * (array.offset + len(array)) : 4]
    if int(lengths.astype(np.int64).sum()) > max_bytes:
        raise Problem("too-large", f"the texts of a column may have at most {max_bytes} bytes")
