"""The report's tables: facts of a run, what each test measured, levels side by side.

Every value is escaped: names and notes are text of clients and models.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from monitoring.drift.decision.findings import Check, Entry
from monitoring.drift.report.words import name_check

# A p-value of 0 is one that alibi-detect's float32 cannot hold: 1.2e-38 is the least normal one.
_UNDERFLOW = "&lt; 1e-38"


def escape(value: object) -> str:
    """Any value as text that HTML shows and never reads."""
    return html.escape(str(value))


def list_facts(entry: Entry) -> str:
    """What was compared with what; only what there was."""
    window = f"{entry.window.since:%Y-%m-%d %H:%M} to {entry.window.until:%Y-%m-%d %H:%M} UTC"
    facts = [("Window", window), ("Predictions in it", f"{entry.rows:,}")]
    if entry.sampled:
        rows = f"{entry.sampled:,}, {entry.distinct:,} of them distinct"
        facts.append(("Read", f"{rows}, picked with seed {entry.seed}"))
        facts.append(("Compared", f"{entry.tested:,}"))
    if entry.reference_rows:
        facts.append(("Reference", f"{entry.reference_rows:,} rows, {entry.reference}"))
    facts += [
        ("Level", f"{entry.alpha:.3g}, this version's part of the run's"),
        ("Run", entry.run),
    ]
    return _frame(
        "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    )


def list_checks(
    checks: Sequence[Check], alpha: float, training: Mapping[str, float] | None = None
) -> str:
    """What each test gave. `training`: values of training by test, for a column of their own."""
    names = [
        "statistic",
        *([] if training is None else ["in training"]),
        "p&#8209;value",
        f"adjusted p (drift if &le; {alpha:g})",
        "effect",
        "least effect",
    ]
    head = "".join(f'<th class="n">{name}</th>' for name in names)
    rows = "".join(_list_check(check, training, len(names)) for check in checks)
    return _frame(f"<tr><th>test</th>{head}</tr>{rows}")


def list_levels(levels: Sequence[tuple[str, float, float]], unit: str = ".4g") -> str:
    """Name, reference, window: numbers side by side."""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{before:{unit}}</td>'
        f'<td class="n">{after:{unit}}</td></tr>'
        for name, before, after in levels
    )
    return _frame(f'<tr><th></th><th class="n">reference</th><th class="n">window</th></tr>{rows}')


def _list_check(check: Check, training: Mapping[str, float] | None, columns: int) -> str:
    name = escape(name_check(check))
    if check.threshold is not None:
        name += f'<div class="about">sampling alone: up to {check.threshold:.3g}</div>'
    if check.note:
        return f'<tr><td>{name}</td><td colspan="{columns}">{escape(check.note)}</td></tr>'
    texts = [
        _number(check.statistic),
        *([] if training is None else [_number(training.get(check.name))]),
        _p_value(check.p_value),
        _p_value(check.adjusted),
        _number(check.effect),
        # Without a least effect the p-value alone decides.
        _number(check.min_effect or None),
    ]
    cells = "".join(f'<td class="n">{text}</td>' for text in texts)
    return f"<tr{' class=hit' if check.drifted else ''}><td>{name}</td>{cells}</tr>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _p_value(value: float | None) -> str:
    return _UNDERFLOW if value == 0 else _number(value)


def _frame(rows: str) -> str:
    # On a narrow screen the table moves, and not the page.
    return f'<div class="wide"><table>{rows}</table></div>'
