"""Tables: words that say what a number is for, and no number that misleads."""

from __future__ import annotations

from monitoring.drift.decision.findings import Check
from monitoring.drift.report.tables import list_checks, list_levels


def test_columns_say_what_they_are_for() -> None:
    """The adjusted p-value with the level it is held to, and the least effect."""
    table = list_checks([], 0.01)
    assert "adjusted p (drift if &le; 0.01)" in table
    assert "least effect" in table
    assert "in training" not in table


def test_no_p_value_is_zero() -> None:
    """0 is what the test could not hold: it is told as less than that."""
    table = list_checks([Check("ks", 0.9, 0.0, 0.9, 0.05, adjusted=0.0)], 0.05)
    assert table.count('<td class="n">&lt; 1e-38</td>') == 2


def test_a_test_without_a_least_effect_has_none() -> None:
    """An empty cell, where 0 would read as a limit."""
    table = list_checks([Check("mmd", 0.1, 0.01, 0.1, adjusted=0.05)], 0.05)
    assert table.endswith('<td class="n"></td></tr></table></div>')


def test_the_threshold_of_sampling_is_shown() -> None:
    """What an index reaches without any drift stands beside its name."""
    check = Check("score_psi", 0.2, 0.01, 0.2, 0.1, adjusted=0.05, threshold=0.0126, of="low")
    table = list_checks([check], 0.05)
    assert "stability index of the score (PSI) of low" in table
    assert "sampling alone: up to 0.0126" in table


def test_performance_stands_beside_training() -> None:
    """Each metric in a column next to its value in training; one that has none is empty."""
    checks = [Check("brier", 0.3, 0.01, 0.5, 0.05), Check("roc_auc", 0.6, 0.01, 0.2, 0.05)]
    table = list_checks(checks, 0.05, {"brier": 0.2})
    assert '<td>Brier score</td><td class="n">0.3</td><td class="n">0.2</td>' in table
    assert '<td>area under the ROC curve</td><td class="n">0.6</td><td class="n"></td>' in table


def test_texts_are_escaped() -> None:
    """Classes and notes are other people's text."""
    hostile = "<img src=x>"
    table = list_checks([Check("ks", note=hostile, of=hostile)], 0.05)
    assert "<img" not in table + list_levels([(hostile, 0.1, 0.2)])
