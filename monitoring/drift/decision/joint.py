"""All features at once: the maximum mean discrepancy, which shows what no single column does.

Alibi Detect gives the kernel and the statistic. The permutations are ours: as columns of a
0/1 matrix they cost one product with the kernel matrix instead of a copy of it each (a
hundred times faster), they take their randomness from a seed and not from a global generator,
and the p-value is (b + 1) / (B + 1), which is never 0 (Phipson and Smyth 2010,
`Stat. Appl. Genet. Mol. Biol.` 9:39).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from alibi_detect.cd.pytorch.mmd import MMDDriftTorch
from alibi_detect.utils.pytorch import mmd2_from_kernel_matrix
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import norm

from monitoring.drift.decision.findings import Check, Part
from monitoring.drift.decision.limits import Limits

# Rows whose distances set the kernel's width: their median hardly moves with more of them.
_WIDTH_ROWS = 1000

# Statistics nearer than this are equal: they are differences of means of kernel values up to
# 1, which float32 gives to 2**-24, and exact ties must not fall to either side by rounding.
_SAME = 4 * 2.0**-24

# Cells of the kernel matrices that an attribution computes: about two seconds.
_ATTRIBUTION_CELLS = 1e8

# Permutations multiplied at once, which bounds the memory that they take.
_AT_ONCE = 256


def compare(
    reference: NDArray[np.float32], window: NDArray[np.float32], limits: Limits, seed: int
) -> Check:
    """Compare two encoded samples, float32 of shape (rows, columns), by MMD.

    Takes at most `joint_rows` rows of each side. The statistic is the unbiased estimate of
    the squared discrepancy (Gretton and others 2012, `JMLR` 13:723), which may be negative; the
    effect is the same, and 0 where it is.
    """
    random = np.random.default_rng(seed)
    before = _choose(reference, limits.joint_rows, random)
    after = _choose(window, limits.joint_rows, random)
    width = np.array([_kernel_width(before)], dtype=np.float32)
    detector = MMDDriftTorch(
        before, sigma=width, configure_kernel_from_x_ref=False, n_permutations=1, device="cpu"
    )
    with torch.no_grad():
        kernel = detector.kernel_matrix(torch.from_numpy(before), torch.from_numpy(after))
        statistic = _measure(kernel, len(after))
        permuted = _permute(kernel, len(after), limits.permutations, random)
    at_least = int(np.sum(permuted >= statistic - _SAME))
    p_value = (at_least + 1) / (limits.permutations + 1)
    return Check("mmd", statistic, p_value, max(0.0, statistic), limits.min_mmd)


def attribute(
    reference: NDArray[np.float32],
    window: NDArray[np.float32],
    owners: Sequence[str],
    limits: Limits,
    seed: int,
) -> list[Part]:
    """How much of the discrepancy goes when a feature is left out, the most first.

    `owners`: the feature of each column. The kernel keeps its width, so leaving a feature out
    is dividing the kernel by that feature's part of it. Two features that moved apart from each
    other each take most of the discrepancy with them: the shares do not add up to 1.
    Empty where the rows looked at show no discrepancy.
    """
    names = list(dict.fromkeys(owners))
    most = min(limits.joint_rows, int(np.sqrt(_ATTRIBUTION_CELLS / len(names)) / 2))
    random = np.random.default_rng(seed)
    before, after = _choose(reference, most, random), _choose(window, most, random)
    rows = torch.from_numpy(np.concatenate([before, after])).double()
    width = _kernel_width(before)
    squares = torch.cdist(rows, rows) ** 2
    whole = _measure(torch.exp(squares / (-2.0 * width**2)), len(after))
    if whole <= 0.0:
        return []
    parts = []
    for name in names:
        columns = [place for place, owner in enumerate(owners) if owner == name]
        mine = torch.cdist(rows[:, columns], rows[:, columns]) ** 2
        without = _measure(torch.exp((squares - mine) / (-2.0 * width**2)), len(after))
        parts.append(Part(name, min(1.0, max(0.0, 1.0 - without / whole))))
    return sorted(parts, key=lambda part: -part.share)


def _measure(kernel: torch.Tensor, window_rows: int) -> float:
    """The unbiased squared discrepancy; sets the diagonal of the kernel matrix to 0."""
    kernel.fill_diagonal_(0.0)
    # In double precision: the statistic is a small difference of large sums.
    return float(
        mmd2_from_kernel_matrix(kernel.double(), window_rows, permute=False, zero_diag=False)
    )


def _permute(
    kernel: torch.Tensor, rows: int, permutations: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """The statistic under random labels: float64, shape (permutations,).

    With z = 1 for the rows called "window": the sum over their pairs is z'Kz, that of the
    pairs across is z'K1 - z'Kz, and the rest of the whole sum is within the reference.
    """
    count = len(kernel)
    others = count - rows
    row_sums = kernel.sum(dim=1, dtype=torch.float64)
    whole = float(row_sums.sum())
    values = []
    for start in range(0, permutations, _AT_ONCE):
        labels = np.zeros((count, min(_AT_ONCE, permutations - start)), dtype=np.float32)
        for column in labels.T:
            column[random.permutation(count)[:rows]] = 1.0
        chosen = torch.from_numpy(labels)
        within = (chosen * (kernel @ chosen)).sum(dim=0, dtype=torch.float64)
        across = (chosen * row_sums[:, None]).sum(dim=0, dtype=torch.float64) - within
        rest = whole - within - 2.0 * across
        values.append(
            rest / (others * (others - 1))
            + within / (rows * (rows - 1))
            - 2.0 * across / (others * rows)
        )
    return torch.cat(values).numpy()


def encode(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    categories: Mapping[str, Sequence[str]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Encode both sides by the reference: float32, shapes (m, columns) and (n, columns).

    Numbers become normal scores of their rank in the reference: money has tails that a
    standard deviation cannot scale. Categories of `categories` become one column each, and
    one more for what is not among them. Missing is the reference's middle, and a column.
    Gives also the feature of each column.
    """
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    owners: list[str] = []
    for name in reference.columns:
        before, after = reference[name], window[name]
        if name in categories:
            pairs += _one_hot(before, after, categories[name])
        else:
            pairs.append(_rank(before.to_numpy(), after.to_numpy()))
        missing = before.isna().to_numpy(), after.isna().to_numpy()
        if missing[0].any() or missing[1].any():
            pairs.append((missing[0].astype(np.float64), missing[1].astype(np.float64)))
        owners += [name] * (len(pairs) - len(owners))
    return (
        np.column_stack([pair[0] for pair in pairs]).astype(np.float32),
        np.column_stack([pair[1] for pair in pairs]).astype(np.float32),
        owners,
    )


def _rank(
    reference: NDArray[np.float64], window: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = np.sort(reference[~np.isnan(reference)])

    def score(values: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
        # The middle of a value's ranks; never 0 or 1, whose normal scores are infinite.
        scores = norm.ppf((below / 2.0 + 0.5) / (len(known) + 1.0))
        return np.where(np.isnan(values), 0.0, scores)

    return score(reference), score(window)


def _one_hot(
    reference: pd.Series, window: pd.Series, categories: Sequence[str]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    # Two rows of different categories are at the squared distance of 1.
    height = np.sqrt(0.5)
    pairs = [
        ((reference == category).to_numpy() * height, (window == category).to_numpy() * height)
        for category in categories
    ]
    others = [
        (~(side.isin(categories) | side.isna())).to_numpy() * height for side in (reference, window)
    ]
    if others[0].any() or others[1].any():
        pairs.append((others[0], others[1]))
    return pairs


def _choose(
    rows: NDArray[np.float32], most: int, random: np.random.Generator
) -> NDArray[np.float32]:
    if len(rows) <= most:
        return rows
    return rows[np.sort(random.choice(len(rows), most, replace=False))]


def _kernel_width(rows: NDArray[np.float32]) -> float:
    """The median distance of rows that differ, divided by the root of 2 (Gretton, section 8)."""
    distances = pdist(rows[:: max(1, len(rows) // _WIDTH_ROWS)])
    apart = distances[distances > 1e-6]
    return float(np.median(apart) / np.sqrt(2.0)) if len(apart) else 1.0
