"""`python -m monitoring.mixin.preview --prometheus URL`: one HTML page of all dashboards.

A preview: drawn by ECharts, not by Grafana, so colours and axes differ. The page holds its
data and its charts, and loads nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from monitoring.mixin import render
from monitoring.mixin.preview.asking import Prometheus, Unreachable, read_panels

_HERE = Path(__file__).parent
_ECHARTS = render.MIXIN / "node" / "node_modules" / "echarts" / "dist" / "echarts.min.js"


def in_order(dashboards: Mapping[str, dict[str, object]]) -> list[dict[str, object]]:
    """The dashboards as people open them at night: first the one that says what is wrong."""
    return [dashboards[f"tabserve-{name}.json"] for name in ("service", "model", "drift", "health")]


def draw(url: str, minutes: float, dashboards: Sequence[dict[str, object]]) -> str:
    """The page. Raises Unreachable, and FileNotFoundError where ECharts is not installed."""
    prometheus = Prometheus(url, minutes)
    boards = [
        {
            "uid": board["uid"],
            "title": board["title"],
            "description": board["description"],
            "panels": list(read_panels(board, prometheus)),
        }
        for board in dashboards
    ]
    data = {
        "start": prometheus.start,
        "end": prometheus.end,
        "drawn": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "boards": boards,
    }
    page = (_HERE / "page.html").read_text()
    # In a script, only `</` could end the text early.
    text = json.dumps(data).replace("</", "<\\/")
    for place, content in (
        ("/* echarts */", _ECHARTS.read_text()),
        ("/* data */", f"const DATA = {text};"),
        ("/* preview */", (_HERE / "preview.js").read_text()),
    ):
        before, _, after = page.partition(place)
        page = before + content + after
    return page


def main() -> None:
    """Draw, and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its URL")
    parser.add_argument("--minutes", type=float, default=60, help="how far back")
    parser.add_argument("--output", type=Path, default=Path(".tabserve/dashboards.html"))
    arguments = parser.parse_args()
    dashboards = in_order(render.evaluate()["dashboards"])
    try:
        page = draw(arguments.prometheus, arguments.minutes, dashboards)
    except Unreachable as error:
        raise SystemExit(f"Prometheus does not answer at {error}") from None
    except FileNotFoundError:
        raise SystemExit("ECharts is not installed: make monitoring-setup") from None
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(page)
    sys.stdout.write(f"{arguments.output}\n")


if __name__ == "__main__":
    main()
