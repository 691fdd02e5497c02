"""Ids made by column."""

from __future__ import annotations

import time

from bentos.ids import is_id, milliseconds, time_of
from bentos.serving.scored.id_block import new_id_block


def test_a_block_of_ids_is_as_good_as_single_ones() -> None:
    """Ids made by column are UUIDv7 of this moment, ascending, and all different."""
    before = time.time_ns() // 10**6
    blocks = [new_id_block(count).astype(str).tolist() for count in (0, 1, 5000, 5000)]
    after = time.time_ns() // 10**6
    made = [one for block in blocks for one in block]
    assert [len(block) for block in blocks] == [0, 1, 5000, 5000]
    assert all(is_id(one) for one in made)
    assert all(block == sorted(block) for block in blocks)
    assert all(before <= milliseconds(time_of(one)) <= after for one in made)
    # The ends are random: a sample of predictions is picked by them.
    assert len({one[-12:] for one in made}) == len(made)
