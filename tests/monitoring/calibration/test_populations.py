"""Made traffic: what the choice of a reference does to a season, and 500 levels without drift."""

from __future__ import annotations

from monitoring.drift.calibration.populations import list_populations, run_population
from tests.monitoring.conftest import QUICK


def test_the_choice_of_the_reference_mends_weekdays_and_no_weather() -> None:
    """A day drifts from half a year and not from its weekdays; what follows the year is ignored."""
    prices, _, training, weeks, weather, ignoring = list_populations()
    assert all(run_population(training, seed, QUICK) for seed in range(3))
    assert sum(run_population(weeks, seed, QUICK) for seed in range(6)) <= 2
    assert all(run_population(weather, seed, QUICK) for seed in range(3))
    assert sum(run_population(ignoring, seed, QUICK) for seed in range(6)) <= 2
    assert sum(run_population(prices, seed, QUICK) for seed in range(6)) <= 2
