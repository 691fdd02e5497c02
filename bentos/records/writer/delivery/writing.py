"""Rows into a store, in halves down to those that it refuses.

Each function gives the ids of the rows that can never be stored, and why. The caller counts them:
all is tried again where the store goes down in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence

from bentos.errors import RowsRefused
from bentos.records.record import Record
from bentos.records.request import RecordedRequest
from bentos.records.store import Store


def write_requests(
    store: Store, requests: Sequence[RecordedRequest], *, is_retry: bool
) -> list[tuple[str, str]]:
    """Store the rows of requests."""
    try:
        if requests:
            store.write_requests(requests, is_retry=is_retry)
        return []
    except RowsRefused:
        middle = len(requests) // 2
        if not middle:
            return write_records(store, requests[0].records(), is_retry=True)
        return write_requests(store, requests[:middle], is_retry=True) + write_requests(
            store, requests[middle:], is_retry=True
        )


def write_records(
    store: Store, records: Sequence[Record], *, is_retry: bool
) -> list[tuple[str, str]]:
    """Store records."""
    try:
        if records:
            store.write(records, is_retry=is_retry)
        return []
    except RowsRefused as error:
        middle = len(records) // 2
        if not middle:
            return [(records[0].id, str(error))]
        return write_records(store, records[:middle], is_retry=True) + write_records(
            store, records[middle:], is_retry=True
        )
