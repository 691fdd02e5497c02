"""What stands between a model version and its promotion: contract, recorded rows, outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import bentoml
import msgspec

from bentos.audit import challenge, comparing, rescoring
from bentos.audit.opened import OpenedLog
from bentos.model import compatibility, store
from bentos.records.record import Window

Verdict = Literal["pass", "FAIL", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """One question to a new version, and its answer in one line."""

    verdict: Verdict
    text: str


def compare_contracts(old: str, new: str) -> Iterator[Finding]:
    """Whether a client of one model of the Bento store could break with another."""
    before = store.open_model(bentoml.models.get(old)).contract
    after = store.open_model(bentoml.models.get(new)).contract
    breaking = [one for one in compatibility.compare(before, after) if one.is_breaking]
    if not breaking:
        yield Finding("pass", f"no client of {old} breaks")
    for change in breaking:
        yield Finding("FAIL", f"breaks clients of {old}: {change.place}: {change.what}")


def compare_answers(
    log: OpenedLog, window: Window, tag: str, max_flipped: float | None
) -> Iterator[Finding]:
    """How a model of the Bento store would have answered the recorded rows of a window."""
    found = comparing.compare(log, window, tag, None)
    if not found.scored and not found.refused_rows:
        yield Finding("unknown", "the log has no row in this window that can be compared")
        return
    rows = found.scored + found.refused_rows
    flipped = sum(found.flips.values())
    text = (
        f"of {rows:,} recorded rows {flipped:,} get another label, {found.refused_rows:,} are "
        f"refused: {found.changed_share:.2%} change"
    )
    if found.refused_rows and max_flipped is None:
        yield Finding("FAIL", f"{text}; rows that were answered may not be refused")
    elif max_flipped is None:
        yield Finding("unknown", f"{text}; --max-flipped makes this a condition")
    elif found.changed_share > max_flipped:
        yield Finding("FAIL", f"{text}, more than the {max_flipped:.2%} of --max-flipped")
    else:
        yield Finding("pass", f"{text}, at most {max_flipped:.2%} may")
    yield _compare_outcomes(log, window, tag)


def _compare_outcomes(log: OpenedLog, window: Window, tag: str) -> Finding:
    found = challenge.challenge(log, window, rescoring.open_served(tag, log.settings))
    deciding = found.differences.get(found.metric)
    if deciding is None or deciding.low is None or deciding.high is None:
        return Finding(
            "unknown",
            f"{found.rows:,} rows with an outcome: too few to say which model does better "
            f"({challenge.MIN_ROWS} are needed, of more than one class)",
        )
    text = (
        f"{found.metric} on {found.rows:,} labelled rows: {deciding.old:.4f} before, "
        f"{deciding.new:.4f} now, change {deciding.change:+.4f} "
        f"(95 % interval {deciding.low:+.4f} to {deciding.high:+.4f}): {found.verdict}"
    )
    return Finding("FAIL" if found.verdict == "worse" else "pass", text)
