"""The benchmark's report, from measurements alone: environment first, losing rows too."""

from __future__ import annotations

from loadtests.measurement import Measurements


def render(measured: Measurements) -> str:
    """Render the report as Markdown."""
    return "\n".join([measured.command, *(f"{p}" for p in measured.points)]) + "\n"
