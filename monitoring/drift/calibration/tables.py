"""The tables of a calibration as markdown, and what the limits can never report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from monitoring.drift.decision.limits import Limits


@dataclass(frozen=True)
class Measured:
    """One row: what the windows were, how many rows they had, and how many were found drifted."""

    name: str
    rows: int
    found: int


def write(
    about: str,
    limits: Limits,
    runs: int,
    *,
    alarms: Sequence[Measured],
    power: Sequence[Measured],
    populations: Sequence[Measured],
) -> str:
    """Every table that has rows, as markdown."""
    error = 1.96 * sqrt(limits.alpha * (1 - limits.alpha) / runs)
    lines = ["# Drift: false alarms and power", "", about, ""]
    if alarms:
        lines += [
            "## False alarms",
            "",
            f"Nothing drifted; the level is {limits.alpha:.0%}, and with {runs} runs a share of up "
            f"to {limits.alpha + error:.1%} is within its sampling error. All tests together: "
            "features, MMD, scores, decisions, performance.",
            "",
            *_table(alarms, runs, "runs that report drift"),
            "",
        ]
    if populations:
        lines += [
            "## Other traffic",
            "",
            "Made rows. Of the prices nothing drifted. A day is no draw of half a year: the trips "
            "show what the choice of the reference mends, and what it cannot.",
            "",
            *_table(populations, runs, "runs that report drift"),
            "",
        ]
    if power:
        lines += [
            "## Power",
            "",
            "Reference and window share no row, so both have their sampling error. Added features "
            "are not the model's.",
            "",
            *_table(power, runs, "runs that find it"),
            "",
        ]
    lines += [
        "## What the limits never report",
        "",
        "A change below its least effect is no drift, with however many rows:",
        "",
        *list_floors(limits),
        "",
    ]
    return "\n".join(lines)


def list_floors(limits: Limits) -> list[str]:
    """The largest change that each least effect hides, in units of the data."""
    sigmas = 2.0 * float(norm.ppf(0.5 + limits.min_ks / 2.0))
    shares = ", ".join(
        f"{share:.1%} to {_find_share(share, limits.min_cramers_v):.1%}"
        for share in (0.001, 0.01, 0.1, 0.5)
    )
    return [
        "| what | largest change that is never reported |",
        "|---|---|",
        f"| a normal feature moves | by {sigmas:.2f} standard deviations |",
        "| a feature's values move past any one point "
        f"| {100 * limits.min_ks:g} percentage points |",
        f"| a category's share grows | from {shares} |",
        "| a missing rate or the decision rate changes "
        f"| by {100 * limits.min_rate_change:g} percentage points |",
        "| unseen categories, or values out of range "
        f"| {100 * limits.min_outside_share:g} % of the rows |",
        f"| a metric gets worse | by {limits.min_performance_loss:.0%} of its training value |",
    ]


def _find_share(share: float, least: float) -> float:
    """The share that a category must grow to for Cramér's V, with all others, to be so large."""

    def exceed(other: float) -> float:
        pairs = np.array([[share, other], [1.0 - share, 1.0 - other]])
        return float(np.sqrt(np.sum(np.diff(pairs)[:, 0] ** 2 / pairs.sum(axis=1)) / 2.0)) - least

    return float(brentq(exceed, share, 1.0 - 1e-9)) if exceed(1.0 - 1e-9) > 0 else 1.0


def _table(results: Sequence[Measured], runs: int, heading: str) -> list[str]:
    lines = [f"| window | rows | {heading} | share |", "|---|---|---|---|"]
    for item in results:
        share = item.found / runs
        lines.append(f"| {item.name} | {item.rows:,} | {item.found} of {runs} | {share:.1%} |")
    return lines
