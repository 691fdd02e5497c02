"""What the stable version and the canary did in a window, asked from Prometheus."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from bentos.errors import ConfigurationError, TabserveError
from bentos.rollout.judge import Sample

_TIMEOUT_SECONDS = 15
# Routes whose answers are no predictions: probes, scrapes, pages, outcomes.
_OTHERS = (
    "/|/docs[.]json|/healthz|/livez|/metrics|/readyz|/schema[.]json|/v1/feedback|/v1/model|other"
)

_SCORING = f'job="tabserve", route!~"{_OTHERS}"'
_QUERIES = {
    "statuses": (
        "status",
        "sum by (track, status) (increase(tabserve_requests_total{%(scoring)s}[%(window)ss]))",
    ),
    "durations": (
        "le",
        "sum by (track, le) "
        "(increase(tabserve_request_duration_seconds_bucket{%(scoring)s}[%(window)ss]))",
    ),
    "labels": (
        "label",
        'sum by (track, label) (increase(tabserve_labels_total{job="tabserve"}[%(window)ss]))',
    ),
    "scores": (
        "le",
        'sum by (track, le) (increase(tabserve_score_bucket{job="tabserve"}[%(window)ss]))',
    ),
}


class PrometheusError(TabserveError):
    """Prometheus cannot be asked; the message says why, without a URL that may hold a password."""


class Prometheus:
    """Prometheus' HTTP API."""

    def __init__(self, url: str) -> None:
        if not re.match(r"https?://[^\s/]", url):
            raise ConfigurationError("--prometheus must be an http or https URL")
        self._url = url.rstrip("/")

    def sample(self, window_seconds: int) -> dict[str, Sample]:
        """What each track did in the last `window_seconds`, by track."""
        found: dict[str, dict[str, dict[Any, float]]] = {"stable": {}, "canary": {}}
        for field, (label, query) in _QUERIES.items():
            text = query % {"scoring": _SCORING, "window": window_seconds}
            for series in self._query(text):
                metric = series["metric"]
                track = found.get(metric.get("track", ""))
                value = float(series["value"][1])
                # NaN is no count.
                if track is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
                    continue
                key = float(metric[label]) if label == "le" else metric.get(label, "")
                track.setdefault(field, {})[key] = value
        return {track: Sample(**fields) for track, fields in found.items()}

    def _query(self, query: str) -> list[Mapping[str, Any]]:
        body = urllib.parse.urlencode({"query": query}).encode()
        request = urllib.request.Request(f"{self._url}/api/v1/query", data=body)  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the same
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise PrometheusError(f"Prometheus refused a query with {error.code}") from None
        except (OSError, ValueError) as error:
            reason = type(getattr(error, "reason", error)).__name__
            raise PrometheusError(f"Prometheus cannot be asked: {reason}") from None
        result: list[Mapping[str, Any]] = document["data"]["result"]
        return result
