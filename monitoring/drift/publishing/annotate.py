"""A mark on Grafana's time axis when what is said of a version changes, and only then."""

from __future__ import annotations

import html

import msgspec

from monitoring.drift.decision.findings import Entry
from monitoring.drift.publishing import exchange


def is_change(previous: str | None, outcome: str) -> bool:
    """Whether the outcome is news. A first run is, unless it says that all is well."""
    return outcome != (previous or "no_drift")


def annotate(
    grafana: str, token: str, entry: Entry, previous: str | None, link: str, timeout_seconds: float
) -> None:
    """Post one annotation over the window, once. Raises NotTaken.

    `link`: where the report is, or empty.
    """
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    exchange.send(
        f"{grafana.rstrip('/')}/api/annotations",
        "POST",
        headers,
        msgspec.json.encode(_describe(entry, previous, link)),
        timeout_seconds,
    )


def _describe(entry: Entry, previous: str | None, link: str) -> dict[str, object]:
    text = f"{entry.model} {entry.version}: {entry.outcome}, was {previous or 'not known'}."
    if entry.reason:
        text += f" {entry.reason}"
    # Grafana shows the text as HTML.
    text = html.escape(text)
    if link:
        text += f' <a href="{html.escape(link)}">Report</a>'
    return {
        "time": int(entry.window.since.timestamp() * 1000),
        "timeEnd": int(entry.window.until.timestamp() * 1000),
        "tags": ["tabserve", "drift", str(entry.model), str(entry.version), entry.outcome],
        "text": text,
    }
