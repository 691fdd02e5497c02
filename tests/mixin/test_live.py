"""The mixin at work: its queries give data, its alerts fire, arrive and end."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.mixin import render
from monitoring.mixin.preview import __main__ as preview
from monitoring.mixin.preview.asking import Unreachable
from tests import models
from tests.mixin import boards, rig
from tests.mixin.rig import Night, Traffic
from tests.service.checks import require, rows_of

FIRING = {"TabserveDrift", "TabserveLogDropping", "TabserveErrorRatio"}
MOST_SERIES = 500
ECHARTS = render.MIXIN / "node" / "node_modules" / "echarts"

# Parts of queries that give nothing here, and why.
WITHOUT_DATA = {
    "kube_": "kube-state-metrics needs a cluster",
    "roc_auc": "the model was logged without a run, so without measures to compare with",
    "tabserve_drift_performance": "the same",
    "tabserve_reasons_total": "the model brings no reasons",
}
# Labels that no series has here, and why.
WITHOUT_VALUES = {"namespace": "Prometheus sets it from Kubernetes"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Rows that the model was not trained on."""
    return rows_of(models.training_frame(seed=23, rows=400))


@pytest.fixture(scope="module")
def night(
    imported: dict[str, str], rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Night]:
    """The whole system, after the three alerts fired and ended."""
    if not rig.DRIFT_PYTHON.exists():
        reason = "the drift job's environment is missing: make drift-setup"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with rig.watching(tmp_path_factory.mktemp("night"), imported["binary"]) as running:
        locust = rig.load(running)
        traffic = Traffic(running, rows)
        traffic.start()
        try:
            running.wait_for("too few rows", lambda: scored(running) > 1000)
            running.drift()
            running.drift()
            running.wait_for("not all fire", lambda: running.hook.names("firing") >= FIRING)
            if ECHARTS.exists():
                made = preview.in_order(running.mixin["dashboards"])
                running.page = preview.draw(running.prometheus.url, 3, made)
        finally:
            traffic.stop()
            locust.wait(120)
        # Too few rows to tell: what was drift is so no more.
        running.drift("--min-rows", "1000000")
        running.wait_for("not all end", lambda: running.hook.names("resolved") >= FIRING)
        yield running


def scored(night: Night) -> float:
    """Rows that the good replica scored."""
    query = f'sum(tabserve_rows_total{{outcome="scored",instance="127.0.0.1:{night.good.port}"}})'
    found = night.prometheus.get("query", query=query)["result"]
    return float(found[0]["value"][1]) if found else 0.0


def ask(night: Night, query: str) -> list[dict[str, Any]]:
    """What a query gave over the whole night; each variable stands for any value."""
    for name, value in rig.PLACEHOLDERS.items():
        query = query.replace(name, value)
    for name in ("namespace", "job", "instance", "model", "version"):
        query = query.replace(f'"${name}"', '".*"')
    return night.prometheus.series(query, night.started)


def is_excused(query: str) -> bool:
    """Whether a query may give nothing here."""
    return any(part in query for part in WITHOUT_DATA)


def test_alerts_arrive_and_end(night: Night) -> None:
    """Drift, dropped rows and errors come as alerts, with all that they say, and are resolved."""
    for status in ("firing", "resolved"):
        assert night.hook.names(status) >= FIRING
    for alert in night.hook.alerts:
        assert alert["annotations"].keys() >= {"summary", "description", "runbook_url"}
        assert "<no value>" not in str(alert["annotations"])
        assert "%!" not in str(alert["annotations"])


@pytest.mark.parametrize("name", ["service", "model", "drift", "health"])
def test_panels_have_data(night: Night, name: str) -> None:
    """Every query of every panel gave data, of no more series than a person can read."""
    board = night.mixin["dashboards"][f"tabserve-{name}.json"]
    empty, crowded = [], []
    for panel, target in boards.targets(board):
        series = ask(night, target["expr"])
        if not series and not is_excused(target["expr"]):
            empty.append((panel["title"], target["expr"]))
        if len(series) > MOST_SERIES:
            crowded.append((panel["title"], len(series)))
    assert (empty, crowded) == ([], [])


@pytest.mark.parametrize("name", ["service", "model", "drift", "health"])
def test_variables_have_values(night: Night, name: str) -> None:
    """Every variable had values to choose from; `namespace` has none without Kubernetes."""
    board = night.mixin["dashboards"][f"tabserve-{name}.json"]
    for variable in boards.variables(board):
        selector, label = boards.label_query(variable["query"])
        values = {one["metric"].get(label) for one in ask(night, selector)}
        assert values
        assert (None in values) == (label in WITHOUT_VALUES), variable["name"]


def test_marks_have_data(night: Night) -> None:
    """Marks of deploys and of drift were drawn."""
    for board in night.mixin["dashboards"].values():
        for mark in board["annotations"]["list"]:
            assert ask(night, mark["expr"]), mark["name"]


def test_rules_have_data(night: Night) -> None:
    """Every recording rule gave series, and no rule failed."""
    for group in night.mixin["rules"]["groups"]:
        for rule in group["rules"]:
            assert ask(night, rule["record"]), rule["record"]
    for group in night.prometheus.get("rules")["groups"]:
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule


def test_short_list_is_needed(night: Night) -> None:
    """What stands on the list of queries without data really gives none."""
    assert ask(night, '{__name__=~"kube_.*|tabserve_drift_performance"}') == []
    assert ask(night, '{check="roc_auc"}') == []
    assert ask(night, '{namespace!=""}') == []


def test_commands_of_the_runbook(night: Night) -> None:
    """What the runbook's `curl` lines look for is there."""
    from tests.mixin.test_runbook import COMMANDS

    metrics = night.good.request("GET", "/metrics").body.decode()
    for command in (one for one in COMMANDS if one.startswith("curl")):
        words = command.split()
        path = words[2].removeprefix("http://127.0.0.1:3000")
        assert night.good.request("GET", path).status == 200
        if "grep" in words:
            assert words[-1] in metrics


def test_preview(night: Night, tmp_path: Path) -> None:
    """The preview draws every panel in a browser without network, and says what it is."""
    chromium = require("chromium", "chromium")
    if not night.page:
        reason = "ECharts is not installed: make monitoring-setup"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    page = tmp_path / "dashboards.html"
    page.write_text(night.page)
    shown = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         f"--user-data-dir={tmp_path}/profile", "--window-size=1600,5000",
         "--virtual-time-budget=20000", "--dump-dom", f"file://{page}"],
        capture_output=True, check=True, text=True, timeout=180,
    ).stdout  # fmt: skip
    assert 'data-done="yes"' in shown
    assert "PREVIEW, not Grafana" in shown
    panels = [
        panel for board in night.mixin["dashboards"].values() for panel in boards.panels(board)
    ]
    kinds = re.findall(r'data-drawn="(\w+)"', shown)
    assert len(kinds) == len(panels)
    excused = [panel for panel in panels if is_excused(str(panel["targets"]))]
    assert kinds.count("none") <= len(excused)
    assert shown.count("<canvas") >= sum(panel["type"] == "timeseries" for panel in panels) - 4
    # Nothing is loaded: neither scripts nor styles nor pictures from elsewhere.
    markup = re.sub(r"<script>.*?</script>", "", shown, flags=re.S)
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', markup) == []


def test_preview_without_prometheus() -> None:
    """Where no Prometheus answers, one line says so."""
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1"):
        preview.draw("http://127.0.0.1:1", 5, list(render.evaluate()["dashboards"].values()))
