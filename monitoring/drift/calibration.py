"""How often the job is wrong, measured: false alarms and power, on the real reference.

`python -m monitoring.drift.calibration --reference reference.parquet` writes both tables
with their date and circumstances. Windows are made of reference rows, so what is true is
known: nothing drifted, or exactly what was done to them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bentos.model.contract import Contract, Feature
from monitoring.drift import detect
from monitoring.drift.findings import Findings
from monitoring.drift.limits import Limits
from monitoring.drift.sample import SCORE_PREFIX, Sample, kind_of, read_reference

FOLDER = Path(__file__).parent / "results"

Random = np.random.Generator
Change = Callable[[Sample, int, Random], Sample]
Count = Callable[[Findings, int], bool]

_PACKAGES = ("alibi-detect", "torch", "numpy", "scipy", "pandas")


@dataclass(frozen=True)
class Trial:
    """One row of a table: windows made one way, and how many of them were found drifted.

    `is_apart`: reference and window are halves of the rows that share none, instead of all
    rows and a resample of them.
    """

    name: str
    rows: int
    is_apart: bool
    change: Change
    count: Count


def describe(data: bytes, threshold: float) -> Contract:
    """The contract of a binary model's reference, as far as drift needs it."""
    frame = pd.read_parquet(io.BytesIO(data))
    features = []
    for name in frame.columns:
        column = frame[name]
        if str(name).startswith(SCORE_PREFIX):
            continue
        if isinstance(column.dtype, pd.CategoricalDtype):
            known = tuple(column.dtype.categories)
            features.append(Feature(name, "category", "string", categories=known))
        elif column.dtype == bool:
            features.append(Feature(name, "boolean", "boolean"))
        elif not pd.api.types.is_numeric_dtype(column):
            features.append(Feature(name, "text", "string"))
        else:
            features.append(Feature(name, "float", "double"))
    return Contract(tuple(features), "binary", "booster", classes=(0, 1), threshold=threshold)


def run(
    trial: Trial,
    seed: int,
    reference: Sample,
    contract: Contract,
    training: dict[str, float],
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
    window = trial.change(window, seed, random)
    names = tuple(str(place) for place in range(trial.rows))
    window = Sample(window.features, window.scores, names)
    scores = window.scores[""].to_numpy()
    truth = (random.random(trial.rows) < scores).astype(int).astype(str).tolist()
    findings = detect.compare(
        before,
        window,
        contract,
        limits=limits,
        seed=seed,
        outcomes=dict(zip(names, truth, strict=True)),
        training=training,
    )
    return trial.count(findings, seed)


def measure_training(scores: NDArray[np.float64]) -> dict[str, float]:
    """What the metrics would be on very many rows whose outcomes are drawn from the scores."""
    truth = np.random.default_rng(0).random((40, len(scores))) < scores
    areas = [roc_auc_score(row, scores) for row in truth]
    return {"roc_auc": float(np.mean(areas)), "brier": float(np.mean(scores * (1 - scores)))}


def list_trials(names: list[str]) -> Iterator[Trial]:
    """Every trial of both tables. `names`: the numeric features."""
    for rows in (500, 2_000, 20_000):
        yield Trial("resample of the reference", rows, False, _keep, _has_drift)
    for rows in (500, 2_000):
        yield Trial("reference and window share no row", rows, True, _keep, _has_drift)

    def shift(sigmas: float, window: Sample, seed: int, _: Random) -> Sample:
        name = names[seed % len(names)]
        features = window.features.copy()
        features[name] += sigmas * features[name].std()
        return Sample(features, window.scores)

    def shifted(findings: Findings, seed: int) -> bool:
        return _feature_drifted(findings, names[seed % len(names)])

    def lose(window: Sample, seed: int, random: Random) -> Sample:
        name = names[seed % len(names)]
        features = window.features.copy()
        features.loc[random.random(len(features)) < 0.1, name] = np.nan
        return Sample(features, window.scores)

    def lost(findings: Findings, seed: int) -> bool:
        name = names[seed % len(names)]
        return any(f.name == name and f.reasons == ["missing_rate"] for f in findings.features)

    for sigmas, rows in ((0.2, 500), (0.2, 2_000), (0.1, 2_000)):
        name = f"one feature shifted by {sigmas} standard deviations: found in that feature"
        yield Trial(name, rows, True, partial(shift, sigmas), shifted)
    name = "one feature missing in 10 % of rows instead of none: found as that alone"
    yield Trial(name, 2_000, True, lose, lost)
    name = "numeric features shuffled each by itself, marginals untouched: found by"
    yield Trial(f"{name} MMD", 2_000, True, partial(_break, names), _mmd_drifted)
    yield Trial(f"{name} KS in any feature", 2_000, True, partial(_break, names), _ks_drifted)


def write(results: list[tuple[Trial, int]], runs: int, limits: Limits, about: str) -> str:
    """Both tables as markdown."""
    error = 1.96 * sqrt(limits.alpha * (1 - limits.alpha) / runs)
    alarms = [item for item in results if item[0].change is _keep]
    power = [item for item in results if item[0].change is not _keep]
    lines = [
        "# Drift: false alarms and power",
        "",
        about,
        "",
        "## False alarms",
        "",
        f"Nothing drifted; the level is {limits.alpha:.0%}, and with {runs} runs a share of up to "
        f"{limits.alpha + error:.1%} is within its sampling error. All tests together: features, "
        "MMD, scores, decisions, performance.",
        "",
        *_table(alarms, runs, "runs that report drift"),
        "",
        "## Power",
        "",
        "Reference and window share no row, so both have their sampling error.",
        "",
        *_table(power, runs, "runs that find it"),
        "",
    ]
    return "\n".join(lines)


def name_machine() -> str:
    """What a number of ours was measured on: architecture, Python, and the packages that count."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{platform.machine()}, Python {platform.python_version()}, {packages}"


def main(arguments: list[str] | None = None) -> int:
    """Run all trials and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.drift.calibration", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--reference", type=Path, required=True, help="reference.parquet")
    parser.add_argument("--threshold", type=float, help="decision threshold of the model")
    parser.add_argument("--runs", type=int, default=200, help="windows for each row of a table")
    parser.add_argument("--output", type=Path, help="markdown file to write")
    given = parser.parse_args(arguments)

    data = given.reference.read_bytes()
    threshold = given.threshold
    decision = given.reference.with_name("decision.json")
    if threshold is None and decision.is_file():
        threshold = msgspec.json.decode(decision.read_bytes())["threshold"]
    contract = describe(data, 0.5 if threshold is None else threshold)
    reference = read_reference(data, contract)
    names = [feature.name for feature in contract.features if kind_of(feature) == "numeric"]
    training = measure_training(reference.scores[""].to_numpy())
    limits, started, results = Limits(), perf_counter(), []
    for trial in list_trials(names):
        found = sum(
            run(trial, seed, reference, contract, training, limits) for seed in range(given.runs)
        )
        results.append((trial, found))
        _say(f"{trial.rows:>6} rows, {trial.name}: {found} of {given.runs}")
    now = datetime.now(UTC)
    about = (
        f"{now:%Y-%m-%d}, {given.runs} runs each, {perf_counter() - started:.0f} s on "
        f"{name_machine()}. Reference: "
        f"{len(reference):,} rows, {len(contract.features)} features, SHA-256 "
        f"{hashlib.sha256(data).hexdigest()[:16]}. Seeds 0 to {given.runs - 1}; limits are the "
        f"defaults. Outcomes are drawn from the scores. Command: "
        f"`python -m monitoring.drift.calibration --reference {given.reference.name} "
        f"--runs {given.runs}`."
    )
    path = given.output or FOLDER / f"{now:%Y-%m-%d}-calibration.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write(results, given.runs, limits, about))
    _say(str(path))
    return 0


def _keep(window: Sample, seed: int, random: Random) -> Sample:
    return window


def _break(names: list[str], window: Sample, _: int, random: Random) -> Sample:
    features = window.features.copy()
    for name in names:
        features[name] = random.permutation(features[name].to_numpy())
    return Sample(features, window.scores)


def _has_drift(findings: Findings, _: int) -> bool:
    return findings.outcome == "drift"


def _feature_drifted(findings: Findings, name: str) -> bool:
    return any(feature.name == name and feature.drifted for feature in findings.features)


def _mmd_drifted(findings: Findings, _: int) -> bool:
    return findings.joint is not None and findings.joint.drifted


def _ks_drifted(findings: Findings, _: int) -> bool:
    return any("ks" in feature.reasons for feature in findings.features)


def _table(results: list[tuple[Trial, int]], runs: int, heading: str) -> list[str]:
    lines = [f"| window | rows | {heading} | share |", "|---|---|---|---|"]
    for trial, found in results:
        lines.append(f"| {trial.name} | {trial.rows:,} | {found} of {runs} | {found / runs:.1%} |")
    return lines


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
