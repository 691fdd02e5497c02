"""What counts as drift, and how much data a verdict needs.

A difference is drift when it is both unlikely by chance (`alpha`) and large enough to
matter (`min_*`): with many rows everything is significant, with few rows everything is large.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil

# The run's level is split between the groups of checks: whatever they have in common, the
# probabilities of a false alarm add up to at most `alpha` (Bonferroni). Most goes to the
# features, which are many; performance has the least, as its effect size must be large.
SHARES = {"features": 0.5, "joint": 0.2, "scores": 0.2, "performance": 0.1}

# A distribution of fewer present values is not compared: the missing rate speaks for it.
MIN_PRESENT = 50

# Below this expected count the chi-square distribution is a poor one for the statistic
# (Cochran 1954, `Biometrics` 10:417): such categories, and bins of scores, are counted together.
MIN_EXPECTED = 5.0


@dataclass(frozen=True)
class Limits:
    """Levels, effect sizes and sample sizes of one comparison."""

    alpha: float = field(
        default=0.05,
        metadata={
            "help": "Highest probability that a run reports drift where there is none.",
            "above": 0.0,
            "below": 1.0,
        },
    )
    min_ks: float = field(
        default=0.05,
        metadata={
            "help": "Least distance of two distribution functions (KS) that is drift.",
            "least": 0.0,
            "most": 1.0,
        },
    )
    min_cramers_v: float = field(
        default=0.05,
        metadata={
            "help": "Least Cramér's V of two category distributions that is drift.",
            "least": 0.0,
            "most": 1.0,
        },
    )
    min_psi: float = field(
        default=0.1,
        metadata={
            "help": "Least population stability index of the scores that is drift.",
            "least": 0.0,
        },
    )
    min_rate_change: float = field(
        default=0.02,
        metadata={
            "help": "Least change of a missing rate or of the decision rate that is drift.",
            "least": 0.0,
            "most": 1.0,
        },
    )
    min_outside_share: float = field(
        default=0.01,
        metadata={
            "help": "Least share of unseen categories, or of values out of range, that is drift.",
            "least": 0.0,
            "most": 1.0,
        },
    )
    min_performance_loss: float = field(
        default=0.05,
        metadata={
            "help": "Least loss of a performance metric, as a share of its training value, "
            "that is drift.",
            "least": 0.0,
        },
    )
    min_rows: int = field(
        default=500,
        metadata={"help": "Rows that a window and a reference need for a verdict.", "least": 100},
    )
    min_labels: int = field(
        default=200,
        metadata={"help": "Labelled rows that a verdict on performance needs.", "least": 50},
    )
    joint_rows: int = field(
        default=2000,
        metadata={
            "help": "Most rows of each side in the multivariate test; its cost is quadratic.",
            "least": 100,
            "most": 10_000,
        },
    )
    permutations: int = field(
        default=999,
        metadata={
            "help": "Permutations of the multivariate test; its least p-value is one in so "
            "many plus one.",
            # The joint group's level is alpha / 5: 1 / (B + 1) must be below it.
            "least": 199,
            "most": 100_000,
        },
    )
    psi_bins: int = field(
        default=10,
        metadata={
            "help": "Bins of the population stability index: quantiles of the reference.",
            "least": 2,
            "most": 100,
        },
    )

    def share_out(self, versions: int) -> Limits:
        """The limits of each of so many versions, so that the run as a whole has this level.

        The level is divided (Bonferroni), and there are as many permutations as it takes for
        the least p-value of the joint test, `1 / (permutations + 1)`, to be below it.
        """
        alpha = self.alpha / max(1, versions)
        least = ceil(1.0 / (alpha * SHARES["joint"]))
        return replace(self, alpha=alpha, permutations=max(self.permutations, least))
