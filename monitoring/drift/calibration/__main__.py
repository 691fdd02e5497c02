"""`python -m monitoring.drift.calibration`: how often the job is wrong, on a model's own reference.

Writes the tables with their date and circumstances. Windows are made of reference rows, so what
is true is known: nothing drifted, or exactly what was done to them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec
import pandas as pd

from bentos.model import contract as contracts
from bentos.model.contract import Contract, Feature
from monitoring.drift.calibration.machine import name_machine
from monitoring.drift.calibration.outcomes import measure_training
from monitoring.drift.calibration.populations import list_populations, run_population
from monitoring.drift.calibration.tables import Measured, write
from monitoring.drift.calibration.trials import list_trials, run_trial
from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.sample import SCORE_PREFIX
from monitoring.drift.reading import SampleError, read_reference

# False alarms and power on the model's own reference; traffic that is not the model's.
PARTS = ("alarms", "power", "populations")

FOLDER = Path(__file__).parents[1] / "results"

# Where the Bento store keeps what the job needs of a model.
_REFERENCE = "mlflow_model/extra_files/reference.parquet"
_CONTRACT = "mlflow_model/tabserve/contract.json"


class InputError(Exception):
    """There is nothing to calibrate with; the message says why."""


@dataclass(frozen=True)
class Input:
    """A reference as it travels with a model, the contract to read it by, and what named it."""

    data: bytes
    contract: Contract
    about: str
    arguments: str


def read_model(folder: Path) -> Input:
    """Read a model's folder in the Bento store. Raises InputError."""
    try:
        contract = contracts.load((folder / _CONTRACT).read_bytes())
        data = (folder / _REFERENCE).read_bytes()
    except (OSError, ValueError) as error:
        name = Path(error.filename).name if isinstance(error, OSError) else "contract.json"
        raise InputError(f"{folder.name}: {name} is missing or cannot be read") from None
    return Input(data, contract, f"{folder.parent.name}:{folder.name}", "--model FOLDER")


def read_file(path: Path, threshold: float | None) -> Input:
    """Read a binary model's reference.parquet, by the types of its columns. Raises InputError."""
    try:
        data = path.read_bytes()
        decision = path.with_name("decision.json")
        if threshold is None and decision.is_file():
            threshold = msgspec.json.decode(decision.read_bytes())["threshold"]
        contract = describe(data, 0.5 if threshold is None else threshold)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read: {type(error).__name__}") from None
    return Input(data, contract, path.name, f"--reference {path.name}")


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


def main(arguments: list[str] | None = None) -> int:
    """Run all trials and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.drift.calibration",
        description="How often the drift job is wrong, on a model's own reference.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="folder of a model in the Bento store")
    source.add_argument("--reference", type=Path, help="reference.parquet of a binary model")
    parser.add_argument("--threshold", type=float, help="decision threshold of the model")
    parser.add_argument("--runs", type=int, default=200, help="windows for each row of a table")
    parser.add_argument(
        "--part",
        action="append",
        choices=PARTS,
        help="only these tables; without it the two of the model",
    )
    parser.add_argument("--output", type=Path, help="markdown file to write")
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error("--runs: must be at least 1")
    try:
        source_of = (
            read_model(given.model)
            if given.model is not None
            else read_file(given.reference, given.threshold)
        )
        text = _measure(source_of, given.runs, given.part or PARTS[:2])
    except (InputError, SampleError) as error:
        _say(str(error))
        return 2
    path = given.output or FOLDER / f"{datetime.now(UTC):%Y-%m-%d}-calibration.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    _say(str(path))
    return 0


def _measure(source: Input, runs: int, parts: Sequence[str]) -> str:
    started, limits = perf_counter(), Limits()
    contract = source.contract
    reference = read_reference(source.data, contract)
    if len(reference) < 2 * limits.min_rows:
        raise InputError(
            f"the reference has {len(reference)} rows: two halves of {limits.min_rows} are needed"
        )
    training = measure_training(contract, reference.scores)
    alarms: list[Measured] = []
    power: list[Measured] = []
    populations: list[Measured] = []
    for trial in list_trials(contract):
        if ("alarms" if trial.is_quiet else "power") not in parts:
            continue
        found = sum(
            run_trial(trial, seed, reference, contract, training, limits) for seed in range(runs)
        )
        (alarms if trial.is_quiet else power).append(Measured(trial.name, trial.rows, found))
        _say(f"{trial.rows:>6} rows, {trial.name}: {found} of {runs}")
    for population in list_populations() if "populations" in parts else []:
        found = sum(run_population(population, seed, limits) for seed in range(runs))
        populations.append(Measured(population.name, population.rows, found))
        _say(f"{population.rows:>6} rows, {population.name}: {found} of {runs}")
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {runs} runs each, {perf_counter() - started:.0f} s on "
        f"{name_machine()}. Reference: {source.about}, {len(reference):,} rows, "
        f"{len(contract.features)} features, SHA-256 "
        f"{hashlib.sha256(source.data).hexdigest()[:16]}. Seeds 0 to {runs - 1}; limits are the "
        "defaults. Outcomes are drawn from the scores. Command: `python -m "
        f"monitoring.drift.calibration {source.arguments} --runs {runs} "
        f"{' '.join(f'--part {part}' for part in parts)}`."
    )
    return write(about, limits, runs, alarms=alarms, power=power, populations=populations)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
