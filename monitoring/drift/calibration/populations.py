"""Traffic that is not a resample of one reference: a season, 500 levels, a heavy tail.

Rows are made, so what is true of them is known, and the numbers need no data of anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.model.contract import Contract, Feature
from monitoring.drift.calibration.outcomes import draw_outcomes, measure_training
from monitoring.drift.decision import detect
from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.sample import Sample

Random = np.random.Generator

_LEVELS = 500
_DAYS = 182
_DAY_ROWS = 2_000
# Of the temperature over a year, in degrees: half the difference of summer and winter.
_SWING = 12.0


@dataclass(frozen=True)
class Population:
    """One row of the table: how a reference and a window are made, each from a generator.

    `ignore`: features that the settings leave out.
    """

    name: str
    rows: int
    contract: Contract
    make: Callable[[Random], tuple[Sample, Sample]]
    ignore: tuple[str, ...] = ()


def run_population(population: Population, seed: int, limits: Limits) -> bool:
    """Make reference and window, compare them, and say whether drift was found."""
    random = np.random.default_rng(seed)
    reference, window = population.make(random)
    window = Sample(window.features, window.scores, tuple(map(str, range(len(window)))))
    truth = draw_outcomes(population.contract, window.scores, random)
    findings = detect.compare(
        reference,
        window,
        population.contract,
        limits=replace(limits, ignore=population.ignore),
        seed=seed,
        outcomes=dict(zip(window.ids, truth, strict=True)),
        training=measure_training(population.contract, reference.scores),
    )
    return findings.outcome == "drift"


def list_populations() -> list[Population]:
    """Every population. Each day of the trips is one of the training's own half year."""
    prices, trips = describe_prices(), describe_trips()
    one = "prices, 500 levels and a heavy tail: rows of one population"
    day = "trips by weekday and hour: a day of the training's half year, against"
    year = "the same, and a temperature that follows the year: against"
    weekly, yearly = partial(_pair_with_weeks, 0.0), partial(_pair_with_weeks, _SWING)
    return [
        Population(one, 2_000, prices, partial(_pair_of_prices, 2_000)),
        Population(one, 20_000, prices, partial(_pair_of_prices, 20_000)),
        Population(f"{day} `training`", _DAY_ROWS, trips, partial(_pair_with_training, 0.0)),
        Population(f"{day} `weeks:4`", _DAY_ROWS, trips, weekly),
        Population(f"{year} `weeks:4`", _DAY_ROWS, trips, yearly),
        Population(
            f"{year} `weeks:4`, temperature ignored", _DAY_ROWS, trips, yearly, ("temperature",)
        ),
    ]


def describe_prices() -> Contract:
    """A regression of prices: 500 levels, a skewed amount, a normal feature."""
    return Contract(
        (
            Feature("place", "text", "string"),
            Feature("amount", "float", "double"),
            Feature("quality", "float", "double"),
        ),
        "regression",
        "booster",
    )


def make_prices(rows: int, random: Random) -> Sample:
    """Independent rows of one population."""
    weights = 1.0 / np.arange(1, _LEVELS + 1) ** 0.7
    place = random.choice(_LEVELS, rows, p=weights / weights.sum())
    amount = np.exp(random.normal(3.0, 1.5, rows)).round(2)
    quality = random.normal(size=rows)
    score = np.exp(0.3 * np.log(amount) + 0.2 * quality + np.sin(place))
    names = np.array([f"place {number}" for number in range(_LEVELS)], dtype=object)
    features = pd.DataFrame({"place": names[place], "amount": amount, "quality": quality})
    return Sample(features, pd.DataFrame({"": score}))


def describe_trips() -> Contract:
    """A binary model of trips: the hour, the temperature, the purpose."""
    return Contract(
        (
            Feature("hour", "integer", "long"),
            Feature("temperature", "float", "double"),
            Feature("purpose", "category", "string", categories=("work", "leisure")),
        ),
        "binary",
        "booster",
        classes=(0, 1),
        threshold=0.5,
    )


def make_trips(days: NDArray[np.int64], swing: float, random: Random) -> Sample:
    """A row for each day given: hour and purpose follow the weekday, temperature the year.

    The score leans on hour and purpose alone.
    """
    rows = len(days)
    is_weekend = days % 7 >= 5
    hour = np.where(
        is_weekend, random.normal(14.0, 3.5, rows), random.choice([8.0, 17.0], rows)
    ) + random.normal(0.0, 1.5, rows)
    temperature = 10.0 - swing * np.cos(2 * np.pi * days / 365.0) + random.normal(0.0, 3.0, rows)
    is_work = random.random(rows) < np.where(is_weekend, 0.15, 0.75)
    logit = 0.05 * (hour - 13.0) + is_work - 0.5 + random.normal(0.0, 0.3, rows)
    features = pd.DataFrame(
        {
            "hour": np.clip(hour, 0, 23).round(),
            "temperature": temperature.round(1),
            "purpose": np.where(is_work, "work", "leisure").astype(object),
        }
    )
    return Sample(features, pd.DataFrame({"": 1.0 / (1.0 + np.exp(-logit))}))


def _pair_of_prices(rows: int, random: Random) -> tuple[Sample, Sample]:
    return make_prices(15_000, random), make_prices(rows, random)


def _pair_with_training(swing: float, random: Random) -> tuple[Sample, Sample]:
    reference = make_trips(random.integers(0, _DAYS, 15_000), swing, random)
    day = np.full(_DAY_ROWS, random.integers(0, _DAYS))
    return reference, make_trips(day, swing, random)


def _pair_with_weeks(swing: float, random: Random) -> tuple[Sample, Sample]:
    day = int(random.integers(28, _DAYS))
    weeks = np.repeat([day - 7 * week for week in (1, 2, 3, 4)], 5_000)
    window = make_trips(np.full(_DAY_ROWS, day), swing, random)
    return make_trips(weeks, swing, random), window
