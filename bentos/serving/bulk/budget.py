"""What one stream may cost its worker, in proportion to what its client sends. Pure.

A stream has no last row, so no limit on rows bounds it. Two proportions do. A stream that is
refused row after row is of no use to its client. And rows that are packed a thousand to a byte
would cost the worker far more than it costs a client to send them.
"""

from __future__ import annotations

from bentos.errors import Problem

# As many rows as one batch request has by default: a shorter stream never ends early.
FREE_ROWS = 10_000
# Five booleans in Arrow are 1.6 rows to a byte; rows of text in gzip are several bytes each.
ROWS_PER_BYTE = 2
# So many bytes of text cost what a row costs, also where they are blanks. With the number
# above it lets gzip make 200 bytes of one: sparse rows of hundreds of columns make 100.
_ROW_BYTES = 100


class StreamBudget:
    """Counts one stream's bytes and rows. Only for the event loop's thread."""

    __slots__ = ("_read", "_received", "_refused", "_scored")

    def __init__(self) -> None:
        self._received = 0
        self._read = 0
        self._refused = 0
        self._scored = 0

    def receive(self, size: int) -> None:
        """Count bytes as they came, packed or not."""
        self._received += size

    def charge_part(self, size: int, rows: int, refused: int) -> None:
        """Count a part of `size` bytes that was read. Raises Problem where that was too much.

        `rows`: all of its rows. `refused`: those that did not meet the contract.
        """
        self._read += max(rows, ROWS_PER_BYTE, size // _ROW_BYTES)
        self._refused += refused
        self._scored += rows - refused
        if self._refused > FREE_ROWS + self._scored:
            raise Problem(
                "invalid-features",
                f"the stream ends here: {self._refused} of {self._refused + self._scored} rows "
                "were refused; mend them and send them again",
                headers={"Connection": "close"},
            )
        if self._read > FREE_ROWS + ROWS_PER_BYTE * self._received:
            raise Problem(
                "too-large",
                "the stream ends here: what was sent is far smaller than what it unpacks to; "
                "send the rest with less compression",
                headers={"Connection": "close"},
            )
