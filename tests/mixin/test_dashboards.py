"""Dashboards: the linter's rules, our own, and errors planted to see that each is found."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from monitoring.mixin import render
from tests.mixin import boards, linter

UIDS = ("tabserve-service", "tabserve-model", "tabserve-drift", "tabserve-health")
SCREEN = 24

Dashboard = dict[str, Any]


def errors(rule: str, dashboard: Dashboard) -> list[linter.Error]:
    """What a rule finds and no exclusion allows."""
    uid = dashboard["uid"]
    return [
        (place, what)
        for place, what in linter.RULES[rule](dashboard)
        if not linter.excluded(rule, uid, place)
    ]


def test_all_are_there(dashboards: dict[str, Dashboard]) -> None:
    """Four dashboards, under ids that links can rely on."""
    assert sorted(dashboards) == sorted(UIDS)


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("rule", linter.RULES)
def test_linter(dashboards: dict[str, Dashboard], rule: str, uid: str) -> None:
    """A dashboard keeps each rule of grafana/dashboard-linter."""
    assert errors(rule, dashboards[uid]) == []


def test_exclusions_are_needed(dashboards: dict[str, Dashboard]) -> None:
    """Every exclusion excludes something; one that does not is out of date."""
    for rules, uid, places, _ in linter.EXCLUSIONS:
        found = [
            place
            for name, rule in linter.RULES.items()
            if re.fullmatch(rules, name)
            for place, _ in rule(dashboards[uid])
        ]
        titles = places.split("|") if "|" in places else [places]
        for title in titles:
            assert any(re.fullmatch(title, place) for place in found), (rules, uid, title)


def _first(dashboard: Dashboard) -> dict[str, Any]:
    return next(boards.panels(dashboard))


def _variable(dashboard: Dashboard, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in dashboard["templating"]["list"] if one["name"] == name
    )
    return found


def _with_query(query: str) -> Callable[[Dashboard], None]:
    return lambda board: _first(board)["targets"][0].update(expr=query)


JOB = 'job=~"$job", instance=~"$instance"'

# One mistake for each rule.
MISTAKES: dict[str, Callable[[Dashboard], Any]] = {
    "template-datasource-rule": lambda board: _variable(board, "datasource").update(name="ds"),
    "template-job-rule": lambda board: _variable(board, "job").update(multi=False),
    "template-instance-rule": lambda board: _variable(board, "instance").update(allValue=".*"),
    "template-label-promql-rule": lambda board: _variable(board, "job").update(query="up{, x"),
    "template-on-time-change-reload-rule": lambda board: _variable(board, "job").update(refresh=1),
    "panel-datasource-rule": lambda board: _first(board).update(datasource={"uid": "P1"}),
    "panel-title-description-rule": lambda board: _first(board).pop("description"),
    "panel-units-rule": lambda board: _first(board)["fieldConfig"]["defaults"].pop("unit"),
    "panel-no-targets-rule": lambda board: _first(board).update(targets=[]),
    "target-logql-rule": lambda board: _first(board)["targets"][0]["datasource"].update(
        type="loki"
    ),
    "target-logql-auto-rule": lambda board: _first(board)["targets"][0]["datasource"].update(
        type="loki"
    ),
    "target-promql-rule": _with_query("sum(rate(x_total[5m])"),
    "target-rate-interval-rule": _with_query(f"rate(x_total{{{JOB}}}[5m])"),
    "target-job-rule": _with_query('up{job="tabserve", instance=~"$instance"}'),
    "target-instance-rule": _with_query('up{job=~"$job"}'),
    "target-counter-agg-rule": _with_query(f"sum(x_total{{{JOB}}})"),
    "uneditable-dashboard": lambda board: board.update(editable=True),
}


def test_every_rule_has_a_mistake() -> None:
    """No rule is without proof that it finds something."""
    assert MISTAKES.keys() == linter.RULES.keys()


@pytest.mark.parametrize("rule", MISTAKES)
def test_planted_mistakes_are_found(dashboards: dict[str, Dashboard], rule: str) -> None:
    """A mistake planted for a rule is found by it."""
    board = copy.deepcopy(dashboards["tabserve-service"])
    MISTAKES[rule](board)
    assert errors(rule, board) != []


# ---- our own rules


@pytest.mark.parametrize("uid", UIDS)
def test_panels_speak(dashboards: dict[str, Dashboard], uid: str) -> None:
    """A title asks, a description says what is good and what else to do, no data has words."""
    for panel in boards.panels(dashboards[uid]):
        assert panel["title"].endswith("?"), panel["title"]
        assert "Good:" in panel["description"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        # What is good, and at least one more sentence: what to do where it is not.
        assert panel["description"].partition("Good:")[2].count(". ") >= 1, panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_one_screen(dashboards: dict[str, Dashboard], uid: str) -> None:
    """What is not folded fits on one screen, side by side, without overlap."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboards[uid]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(y for _, y in taken) < SCREEN
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("uid", UIDS)
def test_ids_are_unique(dashboards: dict[str, Dashboard], uid: str) -> None:
    """Panels have ids of their own, and queries within a panel too."""
    ids = [panel["id"] for panel in boards.panels(dashboards[uid])]
    ids += [panel["id"] for panel in dashboards[uid]["panels"] if panel["type"] == "row"]
    assert len(ids) == len(set(ids))
    for panel in boards.panels(dashboards[uid]):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters))


@pytest.mark.parametrize("uid", UIDS)
def test_features_and_clients_are_limited(dashboards: dict[str, Dashboard], uid: str) -> None:
    """A query that has a series for each feature, client or worker takes the first of them."""
    open_ended = re.compile(r"by \([^)]*\b(feature|client|worker)\b")
    for panel, target in boards.targets(dashboards[uid]):
        if panel["type"] == "table" or target["expr"].startswith(("max(", "min(")):
            continue
        if open_ended.search(target["expr"]) or "_feature_" in target["expr"]:
            assert re.match(r"(topk|bottomk)\(\d+, ", target["expr"]), panel["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_links_and_marks(dashboards: dict[str, Dashboard], uid: str) -> None:
    """Dashboards link each other and the runbook; deploys or drift are marked by queries."""
    board = dashboards[uid]
    kinds = {link["type"]: link for link in board["links"]}
    assert kinds["dashboards"]["tags"] == board["tags"] == ["tabserve"]
    assert kinds["link"]["url"].endswith("runbook.md")
    assert board["annotations"]["list"]
    for mark in board["annotations"]["list"]:
        assert boards.metrics(mark["expr"])


def test_no_angular(dashboards: dict[str, Dashboard]) -> None:
    """Panels are of the kinds that Grafana 10 to 13 have, none of the retired ones."""
    kinds = {panel["type"] for board in dashboards.values() for panel in boards.panels(board)}
    assert kinds == {"stat", "timeseries", "heatmap", "state-timeline", "table"}


def test_no_place_is_hard_coded() -> None:
    """Hosts, uids of data sources and job names come from the configuration alone."""
    for path in render.MIXIN.rglob("*.libsonnet"):
        if path.name != "config.libsonnet":
            text = path.read_text()
            assert "://" not in text, path
            assert not re.search(r"job=\\?\"", text), path
