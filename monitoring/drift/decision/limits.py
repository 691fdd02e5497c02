"""What counts as drift, and how much data a verdict needs.

A difference is drift when it is both unlikely by chance (`alpha`) and large enough to
matter (`min_*`): with many rows everything is significant, with few rows everything is large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from monitoring.drift.options import setting

# The run's level is split between the groups of checks: whatever they have in common, the
# probabilities of a false alarm add up to at most `alpha` (Bonferroni). Most goes to the
# features, which are many; performance has the least, as its effect size must be large.
SHARES = {"features": 0.5, "joint": 0.2, "scores": 0.2, "performance": 0.1}

# A distribution of fewer present values is not compared: the missing rate speaks for it.
MIN_PRESENT = 50

# Below this expected count the chi-square distribution is a poor one for the statistic
# (Cochran 1954, `Biometrics` 10:417): such categories, and bins of scores, are counted together.
MIN_EXPECTED = 5.0

# Limits that a single feature may have of its own.
OWN = ("min_ks", "min_cramers_v", "min_rate_change", "min_outside_share")


@dataclass(frozen=True)
class Limits:
    """Levels, effect sizes and sample sizes of one comparison."""

    alpha: float = setting(
        0.05,
        "Highest probability that a run reports drift where there is none, if rows are independent "
        "draws of what the reference holds.",
        above=0.0,
        below=1.0,
    )
    min_ks: float = setting(
        0.05,
        "Least distance of two distribution functions (KS) that is drift.",
        least=0.0,
        most=1.0,
    )
    min_cramers_v: float = setting(
        0.05,
        "Least Cramér's V of two category distributions that is drift, bias taken off.",
        least=0.0,
        most=1.0,
    )
    min_psi: float = setting(
        0.1, "Least population stability index of the scores that is drift.", least=0.0
    )
    min_rate_change: float = setting(
        0.02,
        "Least change of a missing rate or of the decision rate that is drift.",
        least=0.0,
        most=1.0,
    )
    min_outside_share: float = setting(
        0.01,
        "Least share of unseen categories, or of values out of range, that is drift.",
        least=0.0,
        most=1.0,
    )
    min_mmd: float = setting(
        0.002,
        "Least squared discrepancy of all features together (MMD) that is drift.",
        least=0.0,
        most=2.0,
    )
    min_performance_loss: float = setting(
        0.05,
        "Least loss of a performance metric, as a share of its training value, that is drift.",
        least=0.0,
    )
    min_importance: float = setting(
        0.0,
        "Least share of the model's importance with which a feature can make a version drift; "
        "features below it are tested and shown.",
        least=0.0,
        most=1.0,
    )
    ignore: tuple[str, ...] = setting(
        (), "Features that are not compared, with commas between them, or as a JSON array."
    )
    feature_limits: Mapping[str, Mapping[str, float]] = setting(
        None,
        "Least effects of single features, as JSON: "
        '`{"age": {"min_ks": 0.1, "min_rate_change": 0.05}}`.',
    )
    min_rows: int = setting(
        500, "Rows that a window and a reference need for a verdict.", least=100
    )
    min_labels: int = setting(200, "Labelled rows that a verdict on performance needs.", least=50)
    joint_rows: int = setting(
        2000,
        "Most rows of each side in the multivariate test; its cost is quadratic.",
        least=100,
        most=10_000,
    )
    permutations: int = setting(
        999,
        "Permutations of the multivariate test; its least p-value is one in so many plus one.",
        # The joint group's level is alpha / 5: 1 / (B + 1) must be below it.
        least=199,
        most=100_000,
    )
    psi_bins: int = setting(
        10,
        "Bins of the population stability index: quantiles of the reference.",
        least=2,
        most=100,
    )

    def of(self, feature: str) -> Limits:
        """The limits of one feature: its own where it has some."""
        own = (self.feature_limits or {}).get(feature)
        return replace(self, **own) if own else self  # type: ignore[arg-type]  # of OWN, all float

    def share_out(self, versions: int) -> Limits:
        """The limits of each of so many versions, so that the run as a whole has this level.

        The level is divided (Bonferroni), and there are as many permutations as it takes for
        the least p-value of the joint test, `1 / (permutations + 1)`, to be below it.
        """
        alpha = self.alpha / max(1, versions)
        least = ceil(1.0 / (alpha * SHARES["joint"]))
        return replace(self, alpha=alpha, permutations=max(self.permutations, least))
