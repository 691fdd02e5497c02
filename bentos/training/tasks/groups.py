"""The model card's section on groups: the same numbers for each of them, and how far apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bentos.training.tasks.fairness import Slice
    from bentos.training.tasks.task import Task

# Under so many rows a rate can be ten percentage points off by chance alone (1.96 standard
# errors of a share of one half).
FEW_ROWS = 100

# Column titles and formats of each task's numbers; others are titled by their name.
_BINARY = {
    "base_rate": ("positives", ".1%"),
    "roc_auc": ("ROC-AUC", ".3f"),
    "approval_rate": ("approved", ".1%"),
    "false_negative_rate": ("missed positives", ".1%"),
    "false_positive_rate": ("refused negatives", ".1%"),
}
_LEGENDS = {
    "binary": "Approved: a score under the threshold. Missed: positives that were approved. "
    "Refused: negatives that were not.",
    "multiclass": "Of the most probable class; recall is the mean over the classes of a group.",
    "regression": "In the target's unit; an error is score minus outcome, so that a positive mean "
    "is a group whose scores are too high.",
}
_REMARKS = {
    "binary": "One threshold serves all groups and nothing was done to even the rates out. Groups "
    "whose share of positives differs cannot have equal rates of approval and of both kinds of "
    "error at once, unless the score were perfect.",
}


def write(slices: Sequence[Slice], task: Task) -> str:
    """The section as Markdown; of a binary target also who is approved most and least."""
    if not slices:
        return "No slices are configured (`fairness.slices`), so nothing is known of groups."
    names = list(slices[0].numbers)
    is_binary = task.name == "binary"
    titles = [_BINARY[name][0] if is_binary else name.replace("_", " ") for name in names]
    lines = [
        table(["group", "rows", *titles], [_row(item, names, task) for item in slices]),
        _LEGENDS[task.name],
    ]
    if is_binary:
        columns = dict.fromkeys(item.column for item in slices)
        lines += [_spread(slices, column) for column in columns]
    if task.name in _REMARKS:
        lines.append(_REMARKS[task.name])
    small = [f"{s.column}: {s.group} ({s.rows})" for s in slices if s.rows < FEW_ROWS]
    if small:
        lines.append(f"Too few rows to say much (under {FEW_ROWS}): {', '.join(small)}.")
    return "\n\n".join(lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(item: Slice, names: Sequence[str], task: Task) -> list[str]:
    row = [f"{item.column}: {item.group}", f"{item.rows:,}"]
    for name in names:
        value = item.numbers[name]
        digits = _BINARY[name][1] if task.name == "binary" else ".4g"
        row.append("none" if value is None else format(value, digits))
    return row


def _spread(slices: Sequence[Slice], column: str) -> str:
    """Name the largest difference in approval between groups of a column that have enough rows."""
    rates = {
        item.group: (item.numbers["approval_rate"] or 0.0, item.numbers["base_rate"] or 0.0)
        for item in slices
        if item.column == column and item.rows >= FEW_ROWS
    }
    if len(rates) < 2:
        return f"`{column}`: too few rows to compare groups."
    low = min(rates, key=lambda group: rates[group][0])
    high = max(rates, key=lambda group: rates[group][0])
    return (
        f"`{column}`: {high} is approved most ({rates[high][0]:.1%}), {low} least "
        f"({rates[low][0]:.1%}), {100 * (rates[high][0] - rates[low][0]):.1f} percentage points "
        f"apart; their shares of positives are {rates[high][1]:.1%} and {rates[low][1]:.1%}."
    )
