"""A problem as one line of text, for protocols whose errors are a string. Pure."""

from __future__ import annotations

from bentos.errors import Problem

# A line with more of them is not read any further.
_LISTED = 10


def describe(problem: Problem) -> str:
    """Say what is wrong and where: the faults with their places, or the detail where none is."""
    if not problem.faults:
        return problem.detail
    shown = [
        f"{fault.pointer}: {fault.detail}" if fault.pointer else fault.detail
        for fault in problem.faults[:_LISTED]
    ]
    more = len(problem.faults) - len(shown)
    if more:
        shown.append(f"and {more} more {'fault' if more == 1 else 'faults'}")
    return "; ".join(shown)
