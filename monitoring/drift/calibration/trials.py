"""Windows made of a reference's own rows, of which is known what drifted, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from bentos.model.contract import Contract, Feature
from monitoring.drift.calibration.outcomes import draw_outcomes
from monitoring.drift.decision import detect, repeats
from monitoring.drift.decision.findings import Findings
from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.sample import Sample, kind_of

Random = np.random.Generator
Change = Callable[[Sample, int, Random], Sample]
Count = Callable[[Findings, int], bool]

# Features that are not the model's, added where a trial is about a kind of column: those of a
# model may be tied or skewed, where a shift by a share of the standard deviation is a large one.
NORMAL, COIN, LEVELS = "(normal)", "(coin)", "(500 levels)"
_ADDED = (
    Feature(NORMAL, "float", "double"),
    Feature(COIN, "text", "string"),
    Feature(LEVELS, "text", "string"),
)
_COUNT = 500
_RARE = "rare"


@dataclass(frozen=True)
class Trial:
    """One row of a table: windows made one way, and how many of them were found drifted.

    `is_apart`: reference and window are halves of the rows that share none, instead of all
    rows and a resample of them. `has_added`: both sides have the added features, too.
    """

    name: str
    rows: int
    is_apart: bool
    change: Change
    count: Count
    has_added: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether nothing drifts: what is found is a false alarm."""
        return self.change in (keep, send_twice, send_one_often)

    @property
    def needs_joint(self) -> bool:
        """Whether what is counted depends on the joint test, which takes most of the time."""
        return self.is_quiet or self.count is _mmd_drifted


def run_trial(
    trial: Trial,
    seed: int,
    reference: Sample,
    contract: Contract,
    training: Mapping[str, float],
    limits: Limits,
) -> bool:
    """Make one window, compare it, and say whether what the trial counts was found."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(reference))
    half = len(reference) // 2
    if trial.is_apart:
        before = reference.take(rows[:half])
        window = reference.take(random.choice(rows[half:], trial.rows, replace=False))
    else:
        before = reference
        window = reference.take(random.integers(0, len(reference), trial.rows))
    # A resample repeats rows, which no client sent again.
    natural = before
    if trial.has_added:
        contract = msgspec.structs.replace(contract, features=(*contract.features, *_ADDED))
        before, window = (add_features(side, random) for side in (before, window))
    window = trial.change(window, seed, random)
    names = tuple(str(place) for place in range(len(window)))
    window = replace(window, ids=names)
    if trial.change in (send_twice, send_one_often):
        window = repeats.drop(window, natural).rows
    outcomes = dict(zip(window.ids, draw_outcomes(contract, window.scores, random), strict=True))
    if not trial.needs_joint:
        limits = replace(limits, joint_rows=100, permutations=199)
    findings = detect.compare(
        before,
        window,
        contract,
        limits=limits,
        seed=seed,
        outcomes=outcomes,
        training=training,
    )
    return trial.count(findings, seed)


def add_features(sample: Sample, random: Random) -> Sample:
    """The same rows with the added features: normal, a fair coin, 500 levels and a rare one."""
    rows = len(sample)
    weights = 1.0 / np.arange(1, _COUNT + 1)
    names = np.array([f"level {place}" for place in range(_COUNT)], dtype=object)
    levels = random.choice(names, rows, p=weights / weights.sum())
    levels[random.random(rows) < 0.001] = _RARE
    coin = np.where(random.random(rows) < 0.5, "heads", "tails").astype(object)
    columns = {NORMAL: random.normal(size=rows), COIN: coin, LEVELS: levels}
    return replace(sample, features=sample.features.assign(**columns))


def list_trials(contract: Contract) -> Iterator[Trial]:
    """Every trial of a model, false alarms first."""
    names = [feature.name for feature in contract.features if kind_of(feature) == "numeric"]
    for count in (500, 2_000, 20_000):
        yield Trial("resample of the reference", count, False, keep, _has_drift)
    for count in (500, 2_000):
        yield Trial("reference and window share no row", count, True, keep, _has_drift)
    yield Trial("the same, every row sent twice", 2_000, True, send_twice, _has_drift)
    yield Trial("the same, and one row 10,000 times", 2_000, True, send_one_often, _has_drift)
    for sigmas, count in ((0.2, 500), (0.2, 700), (0.2, 2_000), (0.3, 500), (0.1, 2_000)):
        name = f"a normal feature shifted by {sigmas} standard deviations: found in it"
        change = partial(_shift, [NORMAL], sigmas)
        yield Trial(name, count, True, change, partial(_is_found, [NORMAL]), True)
    if names:
        for sigmas, count in ((0.2, 500), (0.2, 2_000)):
            name = f"one of the model's numeric features, however skewed, by {sigmas}: found in it"
            yield Trial(
                name, count, True, partial(_shift, names, sigmas), partial(_is_found, names)
            )
        name = "one feature missing in 10 % of rows more: found as that alone"
        yield Trial(name, 2_000, True, partial(_lose, names), partial(_is_lost, names))
    for share in (53, 55, 60):
        name = f"a share of 50 % becomes {share} %: found in that feature"
        change = partial(_load_coin, share / 100.0)
        yield Trial(name, 2_000, True, change, partial(_is_found, [COIN]), True)
    for count in (2_000, 5_000):
        name = "one of 500 levels grows from 0.1 to 1 % of the rows: found in that level"
        yield Trial(name, count, True, _grow_level, _level_found, True)
    if len(names) > 1:
        name = "numeric features shuffled each by itself, marginals untouched: found by"
        yield Trial(f"{name} MMD", 2_000, True, partial(_break, names), _mmd_drifted)
        yield Trial(f"{name} KS in any feature", 2_000, True, partial(_break, names), _ks_drifted)


def keep(window: Sample, seed: int, random: Random) -> Sample:
    """Nothing drifts."""
    return window


def send_twice(window: Sample, seed: int, random: Random) -> Sample:
    """Half of the rows, each of them sent twice."""
    half = np.arange(len(window) // 2)
    return window.take(np.concatenate([half, half]))


def send_one_often(window: Sample, seed: int, random: Random) -> Sample:
    """All of the rows, and one of them 10,000 times."""
    return window.take(np.concatenate([np.arange(len(window)), np.zeros(10_000, dtype=np.intp)]))


def _shift(names: list[str], sigmas: float, window: Sample, seed: int, _: Random) -> Sample:
    name = names[seed % len(names)]
    column = window.features[name]
    return _replace(window, name, column + sigmas * column.std())


def _is_found(names: list[str], findings: Findings, seed: int) -> bool:
    name = names[seed % len(names)]
    return any(feature.name == name and feature.drifted for feature in findings.features)


def _lose(names: list[str], window: Sample, seed: int, random: Random) -> Sample:
    name = names[seed % len(names)]
    column = window.features[name].mask(random.random(len(window)) < 0.1)
    return _replace(window, name, column)


def _is_lost(names: list[str], findings: Findings, seed: int) -> bool:
    name = names[seed % len(names)]
    return any(f.name == name and f.reasons == ["missing_rate"] for f in findings.features)


def _load_coin(share: float, window: Sample, seed: int, random: Random) -> Sample:
    coin = np.where(random.random(len(window)) < share, "heads", "tails").astype(object)
    return _replace(window, COIN, coin)


def _grow_level(window: Sample, seed: int, random: Random) -> Sample:
    levels = window.features[LEVELS].to_numpy(copy=True)
    levels[random.random(len(window)) < 0.009] = _RARE
    return _replace(window, LEVELS, levels)


def _level_found(findings: Findings, _: int) -> bool:
    return any(
        check.name == "level_share" and check.of == _RARE and check.drifted
        for feature in findings.features
        for check in feature.checks
    )


def _break(names: list[str], window: Sample, _: int, random: Random) -> Sample:
    columns = {name: random.permutation(window.features[name].to_numpy()) for name in names}
    return replace(window, features=window.features.assign(**columns))


def _replace(window: Sample, name: str, column: Any) -> Sample:
    return replace(window, features=window.features.assign(**{name: column}))


def _has_drift(findings: Findings, _: int) -> bool:
    return findings.outcome == "drift"


def _mmd_drifted(findings: Findings, _: int) -> bool:
    return findings.joint is not None and findings.joint.drifted


def _ks_drifted(findings: Findings, _: int) -> bool:
    return any("ks" in feature.reasons for feature in findings.features)
