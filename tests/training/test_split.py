from __future__ import annotations

import numpy as np

from bentos.training.split import divide, divide_by_time, sample, shuffle

# BLAKE2b's digests of "2005:0" to "2005:7", in ascending order.
PINNED = [0, 1, 4, 5, 2, 7, 3, 6]


def test_order_depends_on_seed_and_position_alone() -> None:
    """The order is pinned: a change of any library must not move a row."""
    assert shuffle(8, seed=2005).tolist() == shuffle(8, seed=2005).tolist()
    assert shuffle(8, seed=2005).tolist() == PINNED
    assert shuffle(8, seed=2006).tolist() != PINNED
    assert sorted(shuffle(100, seed=1).tolist()) == list(range(100))


def test_parts_cover_all_rows_once() -> None:
    """Every row is in exactly one part."""
    outcomes = (np.arange(1000) % 4 == 0).astype(np.int64)
    split = divide(outcomes, seed=1, validation=0.2, test=0.3)
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together.tolist()) == list(range(1000))


def test_parts_have_the_same_share_of_positives() -> None:
    """Each part has its share of each class, to within a row."""
    outcomes = (np.arange(1000) % 4 == 0).astype(np.int64)
    split = divide(outcomes, seed=1, validation=0.2, test=0.3)
    assert (len(split.test), int(outcomes[split.test].sum())) == (300, 75)
    assert (len(split.validation), int(outcomes[split.validation].sum())) == (200, 50)


def test_other_share_keeps_the_test_rows() -> None:
    """The test rows do not depend on how many rows validate."""
    outcomes = (np.arange(500) % 3 == 0).astype(np.int64)
    small = divide(outcomes, seed=1, validation=0.1, test=0.2)
    large = divide(outcomes, seed=1, validation=0.4, test=0.2)
    assert small.test.tolist() == large.test.tolist()


def test_sample_is_stratified_and_stable() -> None:
    """A sample has the classes' shares; asking for more rows than there are gives all."""
    outcomes = (np.arange(1000) % 4 == 0).astype(np.int64)
    taken = sample(outcomes, 100, seed=3)
    assert (len(taken), int(outcomes[taken].sum())) == (100, 25)
    assert taken.tolist() == sample(outcomes, 100, seed=3).tolist()
    assert sample(outcomes, 5000, seed=3).tolist() == list(range(1000))


def test_divide_by_time_lets_no_later_row_into_an_earlier_part() -> None:
    """Shares are kept as closely as rows of one time allow; those stay together."""
    times = np.random.default_rng(3).integers(0, 40, 1000)
    parts = divide_by_time(times, validation=0.2, test=0.2)
    assert times[parts.train].max() < times[parts.validation].min()
    assert times[parts.validation].max() < times[parts.test].min()
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(together.tolist()) == list(range(1000))
    assert abs(len(parts.test) - 200) < 50
