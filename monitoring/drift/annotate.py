"""A mark on Grafana's time axis when what is said of a version changes, and only then."""

from __future__ import annotations

import html
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec

from monitoring.drift.findings import Entry


class AnnotationFailed(Exception):
    """Grafana did not take it; the message says why, and holds no token."""


def is_change(previous: str | None, outcome: str) -> bool:
    """Whether the outcome is news. A first run is, unless it says that all is well."""
    return outcome != (previous or "no_drift")


def annotate(
    grafana: str, token: str, entry: Entry, previous: str | None, link: str, timeout_seconds: float
) -> None:
    """Post one annotation over the window. Raises AnnotationFailed.

    `link`: where the report is, or empty.
    """
    body = msgspec.json.encode(_describe(entry, previous, link))
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = Request(  # noqa: S310 - the settings take http and https alone
        f"{grafana.rstrip('/')}/api/annotations", data=body, headers=headers, method="POST"
    )
    try:
        with urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310 - the same
            answer.read()
    except HTTPError as error:
        error.close()
        raise AnnotationFailed(f"HTTP {error.code}") from None
    except (URLError, OSError, ValueError) as error:
        raise AnnotationFailed(str(getattr(error, "reason", "")) or type(error).__name__) from None


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
