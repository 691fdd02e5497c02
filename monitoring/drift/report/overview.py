"""The first thing to look at: every part of the verdict in one table, effects as bars."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.drift.decision.findings import Check, Entry, FeatureFinding
from monitoring.drift.report.tables import escape
from monitoring.drift.report.words import describe_verdict

# A bar ends at so many times the least effect: what is beyond is drift all the more.
_MOST = 3.0


def draw_overview(entry: Entry, features: Sequence[FeatureFinding]) -> str:
    """Scores, performance, all features together and each feature, as one table."""
    rows = []
    if entry.score is not None:
        rows.append(_draw_part("#scores", "Scores and decisions", entry.score.checks))
    if entry.performance is not None:
        rows.append(_draw_part("#performance", "Performance", entry.performance.checks))
    if entry.joint is not None:
        rows.append(_draw_part("#together", "All features together", [entry.joint]))
    for place, feature in enumerate(features):
        word = describe_verdict(feature)
        is_drift = feature.drifted and feature.carries
        rows.append(
            _draw_row(
                f"#feature-{place}",
                feature.name,
                f"{feature.importance:.0%}",
                find_ratio(feature.checks),
                word,
                is_drift,
            )
        )
    if not rows:
        return ""
    return (
        '<table class="overview"><tr><th>part</th><th class="n">impor&shy;tance</th>'
        f"<th>change</th><th>verdict</th></tr>{''.join(rows)}</table>"
        '<p class="about">Bars: the largest effect of a part, in multiples of the least effect '
        "that is drift; the mark is that limit, and a bar ends at three times it. Drift must also "
        "be unlikely by chance. Importance: share of the model's gain.</p>"
    )


def find_ratio(checks: Sequence[Check]) -> float | None:
    """The largest effect in multiples of its limit; None where nothing was measured."""
    ratios = [
        check.effect / check.min_effect if check.min_effect > 0 else _MOST * (check.effect > 0)
        for check in checks
        if check.effect is not None
    ]
    return max(ratios, default=None)


def _draw_part(target: str, name: str, checks: Sequence[Check]) -> str:
    is_drifted = any(check.drifted for check in checks)
    is_compared = any(check.statistic is not None for check in checks)
    word = "drift" if is_drifted else "no drift" if is_compared else "not compared"
    return _draw_row(target, name, "", find_ratio(checks), word, is_drifted)


def _draw_row(
    target: str, name: str, importance: str, ratio: float | None, word: str, is_drift: bool
) -> str:
    bar = ""
    if ratio is not None:
        share = 100.0 * min(ratio, _MOST) / _MOST
        bar = (
            f'<div class="effect" title="{ratio:.2g} times the least effect">'
            f'<i style="width:{share:.0f}%"></i></div>'
        )
    return (
        f'<tr{" class=hit" if is_drift else ""}><td><a href="{target}">{escape(name)}</a></td>'
        f'<td class="n">{importance}</td><td>{bar}</td><td>{escape(word)}</td></tr>'
    )
