"""Pictures: every column has one or none, and each bar says what it holds."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from monitoring.drift.decision.sample import UNSEEN
from monitoring.drift.report import pictures

PLACES = ("north", "south", "east", "west", "centre", "harbour", "islands")


def labels(drawn: str) -> list[str]:
    """The texts below the bars."""
    return re.findall(r'<text [^>]*text-anchor="[a-z]+">([^<]*)</text>', drawn)


def test_pictures_bear_every_column() -> None:
    """Constants, missing values, no values, many categories: a picture or none, and no NaN."""
    nothing = pd.Series([np.nan, np.nan])
    assert pictures.draw(nothing, nothing) == ""
    assert pictures.draw(pd.Series([None], dtype=object), pd.Series([None], dtype=object)) == ""
    for column in (
        pd.Series([1.0] * 5),
        pd.Series([1.0, np.nan]),
        pd.Series([1.7e308, -1.7e308]),
        pd.Series([np.finfo(np.float64).max] * 5),
        pd.Series([5e-324, 0.0]),
        pd.Series([f"category {place}" for place in range(100)]),
    ):
        drawn = pictures.draw(column, column)
        assert "nan" not in drawn
        assert "inf" not in drawn
        assert drawn.count("<title>") <= 30
    many = pictures.draw_categories([str(place) for place in range(100)], ["1"])
    assert "all" in many


def test_the_picture_has_its_legend() -> None:
    """Which is the reference and which the window is said in the picture itself."""
    drawn = pictures.draw_categories(["a"], ["b"])
    assert ">reference</text>" in drawn
    assert ">window</text>" in drawn


def test_a_bar_says_what_it_holds() -> None:
    """Its name and both shares; the first and the last one that they hold all beyond."""
    drawn = pictures.draw_categories(["a", "a", "a", "b"], ["b"])
    assert "<title>a: reference 75.0%, window 0.0%</title>" in drawn
    assert "<title>b: reference 25.0%, window 100.0%</title>" in drawn
    titles = re.findall("<title>([^:]*):", pictures.draw_numbers(np.arange(31.0), np.arange(31.0)))
    assert len(titles) == 16
    assert titles[0].startswith("below ")
    assert titles[-1].endswith(" and above")


def test_names_that_begin_alike_are_told_apart() -> None:
    """What the long ones have in common goes first; the whole name is the bar's title."""
    names = [f"department-of-public-affairs/{place}" for place in PLACES]
    drawn = pictures.draw_categories(names, names)
    assert sorted(labels(drawn)) == sorted(f"…{place}" for place in PLACES)
    assert "<title>department-of-public-affairs/north: " in drawn
    assert pictures.shorten(["a long name of one", "short"], 10) == ["a lon… one", "short"]


def test_what_training_never_saw_is_named() -> None:
    """Its label is short enough for any picture."""
    drawn = pictures.draw_categories(["a"], ["a", UNSEEN])
    assert labels(drawn) == ["a", "unseen"]
    assert f"<title>{UNSEEN}: reference 0.0%, window 50.0%</title>" in drawn
