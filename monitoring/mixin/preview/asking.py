"""What each panel's queries give at a Prometheus, as plain data for the page."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

# Points of a line: as many as a panel has pixels to show.
_POINTS = 120
_TIMEOUT_SECONDS = 30


class Unreachable(Exception):
    """Prometheus does not answer."""


class Prometheus:
    """Asks one Prometheus for a span of time that ends now."""

    def __init__(self, url: str, minutes: float) -> None:
        self._url = url.rstrip("/")
        self.end = time.time()
        self.start = self.end - 60 * minutes
        self.step = max(1.0, 60 * minutes / _POINTS)
        # At least four scrapes, as Grafana has it, at 15 s or what the step allows.
        self._interval = max(4 * self.step, 10.0)

    def ask(self, query: str, *, is_instant: bool) -> list[Json]:
        """The series of a query. Raises Unreachable; a query that fails gives nothing."""
        filled = self._fill(query)
        if is_instant:
            return self._get("query", {"query": filled, "time": self.end})
        span = {"start": self.start, "end": self.end, "step": self.step}
        return self._get("query_range", {"query": filled, **span})

    def _fill(self, query: str) -> str:
        query = query.replace("$__rate_interval", f"{self._interval:.0f}s")
        query = query.replace("$__range", f"{self.end - self.start:.0f}s")
        # Every value of every variable: what Grafana shows first.
        return re.sub(r'"\$\w+"', '".*"', query)

    def _get(self, path: str, parameters: Mapping[str, object]) -> list[Json]:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - an address that the user gave
                found: list[Json] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError:
            return []
        except OSError as error:
            raise Unreachable(f"{self._url}: {error}") from None


def read_panels(dashboard: Mapping[str, Any], prometheus: Prometheus) -> Iterator[Json]:
    """Every panel with its data, folded rows opened. Raises Unreachable."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            for inner in panel["panels"]:
                yield _read(inner, prometheus, panel["title"])
        else:
            yield _read(panel, prometheus, "")


def _read(panel: Mapping[str, Any], prometheus: Prometheus, row: str) -> Json:
    defaults = panel["fieldConfig"]["defaults"]
    axis = panel["options"].get("yAxis", {})
    return {
        "type": panel["type"],
        "title": panel["title"],
        "description": panel["description"],
        "place": panel["gridPos"],
        "row": row,
        "unit": axis.get("unit", defaults["unit"]),
        "none": defaults["noValue"],
        "decimals": defaults.get("decimals"),
        "steps": defaults.get("thresholds", {}).get("steps", []),
        "isLimited": defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode") == "dashed",
        "isStacked": defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        "isLog": defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log",
        "max": defaults.get("max"),
        "mappings": defaults.get("mappings", []),
        "overrides": panel["fieldConfig"]["overrides"],
        "sortBy": panel["options"].get("sortBy", []),
        "renames": _renames(panel),
        "queries": [
            {
                "legend": target["legendFormat"],
                "letter": target["refId"],
                "series": prometheus.ask(target["expr"], is_instant=target["instant"]),
            }
            for target in panel["targets"]
        ],
    }


def _renames(panel: Mapping[str, Any]) -> dict[str, str]:
    for step in panel.get("transformations", ()):
        if step["id"] == "organize":
            names: dict[str, str] = step["options"]["renameByName"]
            places: dict[str, int] = step["options"]["indexByName"]
            return {label: names[label] for label in sorted(names, key=places.__getitem__)}
    return {}
