"""Importance and dependence as one HTML page that loads nothing from anywhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bentos.model.explanation.overall import Dependence, Group

# Features with a picture of their own.
MOST_PICTURES = 12
# Blue stays apart from grey for colour-blind readers (Okabe and Ito 2008).
_MAIN, _CONTEXT = "#0072B2", "#999999"
_WIDTH, _HEIGHT, _MARGIN = 320, 150, 34

_STYLE = (
    "body{font:14px sans-serif;margin:2rem;max-width:70rem}figure{display:inline-block;margin:0 "
    "1rem 1rem 0}figcaption{font-size:13px}svg{background:#fafafa}text{font:10px sans-serif}"
)


def draw(title: str, unit: str, rows: int, source: str, found: Sequence[Dependence]) -> str:
    """Draw the page. `unit`: of contributions. `source`: which rows these are of."""
    bars = _bars(found)
    pictures = "".join(_picture(one) for one in found[:MOST_PICTURES])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>Exact TreeSHAP over {rows:,} rows ({escape(source)}); unit: {escape(unit)}. It says "
        "how the model uses a feature, and not what the feature does in the world.</p>"
        f"<h2>Importance: mean absolute contribution</h2>{bars}"
        "<h2>Dependence: contribution by value</h2><p>Each point is a group of rows with like "
        "values; the line through it spans the 10th to 90th percentile of their contributions."
        f"</p>{pictures}</html>\n"
    )


def _bars(found: Sequence[Dependence]) -> str:
    most = max((one.importance for one in found), default=0.0) or 1.0
    lines = "".join(
        f'<text x="190" y="{18 * place + 13}" text-anchor="end">{escape(one.feature[:32])}</text>'
        f'<rect x="196" y="{18 * place + 4}" width="{360 * one.importance / most:.1f}" height="12" '
        f'fill="{_MAIN}"/><text x="{200 + 360 * one.importance / most:.1f}" y="{18 * place + 13}">'
        f"{one.importance:.4g}</text>"
        for place, one in enumerate(found)
    )
    return f'<svg width="640" height="{18 * len(found) + 8}" role="img">{lines}</svg>'


def _picture(one: Dependence) -> str:
    groups = one.groups
    low = min([0.0, *(group.low for group in groups)])
    high = max([0.0, *(group.high for group in groups)])
    span = high - low or 1.0
    across = _places(groups)

    def down(value: float) -> float:
        return 8 + (_HEIGHT - _MARGIN) * (high - value) / span

    marks = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{down(group.high):.1f}" y2="{down(group.low):.1f}" '
        f'stroke="{_CONTEXT}"/><circle cx="{x:.1f}" cy="{down(group.mean):.1f}" r="3" '
        f'fill="{_MAIN}"><title>{escape(group.label)}: {group.mean:.4g}, {group.rows:,} rows'
        "</title></circle>"
        for group, x in zip(groups, across, strict=True)
    )
    step = max(1, len(groups) // 6)
    names = "".join(
        f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{escape(group.label[:12])}</text>"
        for place, (group, x) in enumerate(zip(groups, across, strict=True))
        if place % step == 0 or group.place is None
    )
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT}" role="img">'
        f'<line x1="{_MARGIN}" x2="{_WIDTH - 8}" y1="{down(0.0):.1f}" y2="{down(0.0):.1f}" '
        f'stroke="{_CONTEXT}" stroke-dasharray="3"/><text x="2" y="14">{high:.3g}</text>'
        f'<text x="2" y="{_HEIGHT - _MARGIN + 8}">{low:.3g}</text>{marks}{names}</svg>'
        f"<figcaption>{escape(one.feature)}</figcaption></figure>"
    )


def _places(groups: Sequence[Group]) -> list[float]:
    # By rank, not by value: amounts have tails that would press all but one group together.
    width = (_WIDTH - _MARGIN - 20) / max(1, len(groups) - 1)
    return [_MARGIN + 8 + width * place for place in range(len(groups))]
