"""Media types: read strictly, chosen as RFC 9110 says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.protocols.formats import negotiation

OFFERS = (b"application/json", b"application/x-ndjson", b"text/csv")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (b"", b"application/json"),
        (b"*/*", b"application/json"),
        (b"text/*", b"text/csv"),
        (b"TEXT/CSV", b"text/csv"),
        (b"application/json;q=0.5, text/csv", b"text/csv"),
        (b"application/json;q=0.5, text/csv;q=0.4", b"application/json"),
        # The most specific range decides, whatever its place: section 12.5.1.
        (b"*/*, application/json;q=0", b"application/x-ndjson"),
        (b"application/*;q=0.1, */*;q=0.2", b"text/csv"),
        (b"application/json;q=0, application/*;q=0.3", b"application/x-ndjson"),
        (b"text/csv;header=present;q=0.2, text/csv;q=1, application/json;q=0.5", OFFERS[0]),
        (b"application/json;charset=utf-8", b"application/json"),
        (b'application/json;charset="utf-8" ; q=0.1 ,text/csv;q=0.01', b"application/json"),
        # What cannot be met, or read, is as if it were not there.
        (b"application/json;version=2", b"application/json"),
        (b"application/json;q=2, text/csv", b"text/csv"),
        (b"nonsense, text/csv", b"text/csv"),
        (b'text/html;x="a,b", text/csv', b"text/csv"),
        (b"image/png", None),
        (b"*/*;q=0", None),
        (b"application/json;q=0.000", None),
    ],
)
def test_the_answer_is_chosen_by_weight_and_by_how_specific_a_range_is(
    accept: bytes, chosen: bytes | None
) -> None:
    """Weights, wildcards and refusals of Accept; the server's order decides between equals."""
    assert negotiation.choose(accept, OFFERS) == chosen


@given(
    accept=st.one_of(st.binary(max_size=60), st.text('*/;,q=0.1" aj', max_size=60).map(str.encode))
)
def test_any_header_is_survived(accept: bytes) -> None:
    """No value of Accept fails, and what is chosen is an offer."""
    assert negotiation.choose(accept, OFFERS) in (*OFFERS, None)
