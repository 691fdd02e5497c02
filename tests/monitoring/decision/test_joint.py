"""All features at once: the permutation test, held against Alibi's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from alibi_detect.cd import MMDDrift
from numpy.typing import NDArray

from monitoring.drift.decision import joint
from monitoring.drift.decision.limits import Limits

LIMITS = Limits(joint_rows=400, permutations=199)


def pair(rows: int, correlation: float, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    cover = [[1.0, correlation], [correlation, 1.0]]
    return random.multivariate_normal([0.0, 0.0], cover, rows).astype(np.float32)


def test_the_statistic_is_alibis() -> None:
    """With the same kernel width, statistic and p-value are those of MMDDrift."""
    reference, window = pair(300, 0.0, 1), pair(300, 0.3, 2)
    ours = joint.compare(reference, window, LIMITS, seed=1)
    width = np.array([joint._kernel_width(reference)], dtype=np.float32)
    torch.manual_seed(0)
    theirs = MMDDrift(
        reference, backend="pytorch", sigma=width, n_permutations=500, device="cpu"
    ).predict(window)["data"]
    assert ours.statistic == pytest.approx(theirs["distance"], abs=2e-6)
    # Two estimates of one probability, from 199 and from 500 permutations.
    assert ours.p_value == pytest.approx(theirs["p_val"], abs=0.12)


def test_the_p_value_is_never_zero() -> None:
    """However far apart: one in B + 1 is the least that B permutations can say."""
    check = joint.compare(pair(300, 0.0, 1), pair(300, 0.0, 2) + np.float32(5), LIMITS, seed=1)
    assert check.p_value == 1.0 / 200.0


def test_the_same_seed_gives_the_same_result() -> None:
    """Sample and permutations come from the seed alone, and leave torch's generator alone."""
    reference, window = pair(1_000, 0.0, 1), pair(1_000, 0.1, 2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = joint.compare(reference, window, LIMITS, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert first == joint.compare(reference, window, LIMITS, seed=3)
    assert first != joint.compare(reference, window, LIMITS, seed=4)


def test_numbers_are_scaled_by_the_reference() -> None:
    """Normal scores of the reference's ranks: any monotone change of unit is no change."""
    frame = pd.DataFrame({"a": np.random.default_rng(1).normal(size=500)})
    plain = joint.encode(frame, frame, {})
    cubed = joint.encode(frame**3 * 1e6, frame**3 * 1e6, {})
    np.testing.assert_allclose(plain[0], cubed[0])
    assert plain[0].mean() == pytest.approx(0.0, abs=1e-3)
    assert plain[0].std() == pytest.approx(1.0, abs=0.02)


def test_missing_and_unseen_get_columns() -> None:
    """One column a category, one for unseen ones, one for missing ones; no NaN anywhere."""
    reference = pd.DataFrame({"n": [1.0, 2.0, 3.0], "c": ["a", "b", "a"]})
    window = pd.DataFrame({"n": [np.nan, 2.0], "c": [None, "new"]})
    before, after, owners = joint.encode(reference, window, {"c": ["a", "b"]})
    assert len(owners) == before.shape[1]
    assert before.shape == (3, 6)
    assert after.shape == (2, 6)
    assert np.isfinite(after).all()
    height = np.sqrt(0.5)
    # n, n is missing, a, b, unseen, c is missing.
    np.testing.assert_allclose(after, [[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, height, 0]], atol=1e-6)


def test_ties_are_not_split_by_rounding() -> None:
    """Three rare rows, all in the reference: a quarter of the labellings are as extreme.

    All three on one side of two equal ones: 2 * (1/2)**3, within three standard errors.
    """
    limits = Limits(joint_rows=2_000, permutations=999)
    reference, window = np.zeros((1_000, 1), np.float32), np.zeros((1_000, 1), np.float32)
    reference[:3] = np.sqrt(0.5)
    check = joint.compare(reference, window, limits, seed=1)
    assert check.p_value == pytest.approx(0.25, abs=3 * np.sqrt(0.25 * 0.75 / 1_000))


def test_columns_that_never_vary_are_no_obstacle() -> None:
    """Rows that are all alike have no distance to set the kernel by: no drift, no NaN."""
    same = np.ones((300, 3), dtype=np.float32)
    check = joint.compare(same, same, LIMITS, seed=1)
    assert check.statistic == pytest.approx(0.0, abs=1e-6)
    assert check.p_value is not None
    assert check.p_value > 0.5


def test_the_features_that_it_leans_on_are_named() -> None:
    """A broken correlation goes without either of its two features; the others change little."""
    random = np.random.default_rng(6)
    reference, window = (
        np.column_stack([pair(1_000, rho, seed), random.normal(size=(1_000, 2))]).astype(np.float32)
        for rho, seed in ((0.8, 1), (0.0, 2))
    )
    parts = joint.attribute(reference, window, ["a", "b", "c", "d"], LIMITS, seed=1)
    assert {part.feature for part in parts[:2]} == {"a", "b"}
    assert min(part.share for part in parts[:2]) > 0.8
    assert max(part.share for part in parts[2:]) < 0.5


def test_a_feature_of_several_columns_is_left_out_whole() -> None:
    """A shift in one column of a feature is the feature's; what did not move has little of it."""
    reference, window = pair(600, 0.0, 1), pair(600, 0.0, 2)
    window[:, 0] += 1.0
    one = joint.attribute(reference, window, ["both", "both"], LIMITS, seed=1)
    assert [(part.feature, part.share) for part in one] == [("both", 1.0)]
    first, second = joint.attribute(reference, window, ["moved", "still"], LIMITS, seed=1)
    assert (first.feature, second.feature) == ("moved", "still")
    assert first.share > 0.9


def test_rows_without_a_discrepancy_lean_on_nothing() -> None:
    """The unbiased estimate may be negative: there is nothing to attribute then."""
    rows = pair(200, 0.0, 1)
    assert joint.attribute(rows, rows, ["a", "b"], LIMITS, seed=1) == []
