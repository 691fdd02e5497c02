"""Rows that a client sent again: left out where rows differ by nature, and said where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from monitoring.drift.decision import repeats
from monitoring.drift.decision.sample import Sample


def make(rows: int, seed: int, digits: int = 6) -> Sample:
    """Rows of two numbers, rounded: with few digits they are alike by nature."""
    random = np.random.default_rng(seed)
    features = pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})
    features = features.round(digits)
    scores = pd.DataFrame({"": 1.0 / (1.0 + np.exp(-features["a"]))})
    return Sample(features, scores, tuple(f"id {place}" for place in range(rows)))


def send_again(sample: Sample, places: list[int]) -> Sample:
    """The rows, and after them those at some places once more, as other predictions."""
    positions = np.concatenate([np.arange(len(sample)), np.array(places, dtype=np.intp)])
    names = tuple(f"id {place}" for place in range(len(positions)))
    return replace(sample.take(positions), ids=names)


def test_rows_sent_twice_are_tested_once() -> None:
    """All rows of the window came twice: half of them stay, and a warning says so."""
    window = send_again(make(600, 1), list(range(600)))
    found = repeats.drop(window, make(1_000, 2))
    assert (found.distinct, len(found.rows)) == (600, 600)
    assert found.warning.startswith("600 of 1,200 rows repeat another one and were left out")


def test_one_row_sent_often_is_one_row() -> None:
    """Its copies bring no news; the warning says how often it came."""
    window = send_again(make(600, 1), [5] * 10_000)
    found = repeats.drop(window, make(1_000, 2))
    assert (found.distinct, len(found.rows)) == (600, 600)
    assert "the most frequent row came 10,001 times" in found.warning


def test_missing_values_are_alike() -> None:
    """A repeated row may lack values, of numbers and of text."""
    window = make(600, 1)
    window.features.loc[:9, "a"] = np.nan
    window.features["c"] = None
    natural = make(1_000, 2)
    natural.features["c"] = None
    assert len(repeats.drop(send_again(window, list(range(10))), natural).rows) == 600


def test_a_labelled_copy_stays() -> None:
    """Of equal rows the one that has an outcome is kept: performance needs it."""
    window = send_again(make(600, 1), [3, 4])
    found = repeats.drop(window, make(1_000, 2), {"id 600", "id 4"})
    assert "id 600" in found.rows.ids
    assert "id 3" not in found.rows.ids
    assert "id 4" in found.rows.ids


def test_a_row_that_the_reference_repeats_is_no_retry() -> None:
    """A value of all defaults comes often by nature, among rows that otherwise differ."""
    natural = send_again(make(1_000, 2), [0] * 40)
    usual = natural.take(np.zeros(50, dtype=np.intp))
    window = make(600, 1)
    whole = Sample(
        pd.concat([window.features, usual.features], ignore_index=True),
        pd.concat([window.scores, usual.scores], ignore_index=True),
        tuple(f"id {place}" for place in range(650)),
    )
    assert len(repeats.drop(whole, natural).rows) == 650


def test_rows_that_are_alike_by_nature_all_stay() -> None:
    """Rounded to one digit rows repeat in training too: no warning, and nothing is left out."""
    window, natural = make(2_000, 1, digits=0), make(2_000, 2, digits=0)
    found = repeats.drop(window, natural)
    assert len(found.rows) == 2_000
    assert found.distinct < 200
    assert found.warning == ""


def test_rows_alike_by_nature_that_repeat_more_are_said_to() -> None:
    """They cannot be told from retries, so they stay: the reader of the verdict is warned."""
    window = send_again(make(500, 1, digits=1), list(range(500)) * 3)
    found = repeats.drop(window, make(2_000, 2, digits=1))
    assert len(found.rows) == 2_000
    assert "a client may send rows again; all were tested" in found.warning
