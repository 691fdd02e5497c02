"""The rows that an accelerator is proved with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bentos.model.engines import probing
from bentos.model.engines.trees import Forest, Tree, parse


def forest_of(features: int, *thresholds: str) -> Forest:
    """A forest of one chain of splits on the first feature."""
    count = len(thresholds)
    tree = Tree(
        features=(0,) * count,
        thresholds=thresholds,
        decisions=(8,) * count,
        left=(*range(1, count), -1),
        right=tuple(-number - 2 for number in range(count)),
        leaves=("1",) * (count + 1),
        category_bounds=(),
        category_words=(),
    )
    return Forest((tree,), features, 1, "regression", {})


@pytest.mark.parametrize(("features", "rows"), [(1, 10_000), (800, 10_000), (10_000, 838)])
def test_rows_are_bounded_by_their_bytes(features: int, rows: int) -> None:
    """A wide model gets fewer rows, and never more than 4 MiB of them at a time."""
    assert probing.count_rows(features) == rows
    sizes = [matrix.nbytes for matrix in probing.random_matrices(forest_of(features, "0.5"))]
    assert sum(sizes) == rows * features * 8 <= 2**26
    assert max(sizes) <= 2**22


def test_a_hundred_rows_at_least() -> None:
    """However wide a model is, some rows are compared."""
    assert probing.count_rows(1_000_000) == 100


def test_infinite_thresholds_give_finite_rows() -> None:
    """`threshold=inf`, and thresholds at the ends of float64, give values that JSON can carry."""
    edges = ("inf", "-inf", "1.7976931348623157e308", "-1.7976931348623157e308", "0.5")
    for matrix in probing.random_matrices(forest_of(2, *edges)):
        assert not np.isinf(matrix).any()
        assert np.isnan(matrix).any()


def test_thresholds_and_their_neighbours_are_among_the_rows(trained: dict[str, Any]) -> None:
    """Rows stand on the thresholds of a model, and next to them on both sides."""
    forest = parse(trained["binary"].booster_.model_to_string())
    drawn = np.concatenate(list(probing.random_matrices(forest)))
    tree = forest.trees[0]
    numeric = next(node for node, decision in enumerate(tree.decisions) if not decision & 1)
    column = drawn[:, tree.features[numeric]]
    threshold = float(tree.thresholds[numeric])
    for value in (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)):
        assert (column == value).any()
