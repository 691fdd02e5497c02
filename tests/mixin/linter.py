"""The rules of grafana/dashboard-linter, each as a function from a dashboard to its errors.

Its LogQL rules are here as one: no query is LogQL, since every data source is Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser as promql

from tests.mixin import boards

Dashboard = dict[str, Any]
# Where an error is (the panel's title, or `dashboard`), and what it is.
Error = tuple[str, str]
Rule = Callable[[Dashboard], Iterator[Error]]

WHOLE = "dashboard"

# Of Grafana's formats (packages/grafana-data, valueFormats/categories.ts), those in use here.
UNITS = frozenset(
    {"none", "short", "percentunit", "sci", "bytes", "s", "ops", "reqps", "rps", "bool_yes_no"}
)


def template_datasource(dashboard: Dashboard) -> Iterator[Error]:
    """The data source is a variable, named and labelled as people know it."""
    found = boards.variables(dashboard, "datasource")
    if not found:
        yield WHOLE, "has no templated data source"
    for variable in found:
        if variable["name"] not in ("datasource", "prometheus_datasource"):
            yield WHOLE, f"names its data source {variable['name']}"
        if variable["label"] not in ("Data source", "Prometheus data source"):
            yield WHOLE, f"labels its data source {variable['label']}"
        if variable["query"] != "prometheus":
            yield WHOLE, "has another data source than Prometheus"


def _template(name: str) -> Rule:
    def rule(dashboard: Dashboard) -> Iterator[Error]:
        found = [one for one in boards.variables(dashboard) if one["name"] == name]
        if not found:
            yield WHOLE, f"has no variable {name}"
        for variable in found:
            if variable["datasource"]["uid"] != "${datasource}":
                yield WHOLE, f"{name} does not use the templated data source"
            if variable["label"].lower() != name:
                yield WHOLE, f"{name} is labelled {variable['label']}"
            if not variable["multi"]:
                yield WHOLE, f"{name} takes one value only"
            if variable["allValue"] != ".+":
                yield WHOLE, f"{name} has {variable['allValue']} for all"

    rule.__doc__ = f"There is a variable {name} that takes several values."
    return rule


def template_label_promql(dashboard: Dashboard) -> Iterator[Error]:
    """Every variable asks for the values of a label, with a selector that parses."""
    for variable in boards.variables(dashboard):
        try:
            selector, _ = boards.label_query(variable["query"])
            promql.parse(boards.fill(selector))
        except (AssertionError, ValueError) as error:
            yield WHOLE, f"variable {variable['name']}: {error}"


def template_on_time_change_reload(dashboard: Dashboard) -> Iterator[Error]:
    """Every variable is read again when the time range changes."""
    for variable in boards.variables(dashboard):
        if variable["refresh"] != 2:
            yield WHOLE, f"variable {variable['name']} refreshes by {variable['refresh']}"


def panel_datasource(dashboard: Dashboard) -> Iterator[Error]:
    """Every panel and query uses the templated data source."""
    for panel in boards.panels(dashboard):
        for source in (panel, *panel["targets"]):
            if source.get("datasource", {}).get("uid") != "${datasource}":
                yield panel["title"], "does not use the templated data source"


def panel_title_description(dashboard: Dashboard) -> Iterator[Error]:
    """Every panel has a title and a description."""
    for panel in boards.panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title", ""), "has no title or no description"


def panel_units(dashboard: Dashboard) -> Iterator[Error]:
    """Every panel has a unit that Grafana knows."""
    for panel in boards.panels(dashboard):
        found = [panel["fieldConfig"]["defaults"].get("unit")]
        for override in panel["fieldConfig"]["overrides"]:
            found += [one["value"] for one in override["properties"] if one["id"] == "unit"]
        found += [panel["options"]["yAxis"].get("unit")] if "yAxis" in panel["options"] else []
        for unit in found:
            if unit not in UNITS:
                yield panel["title"], f"has the unit {unit}"


def panel_no_targets(dashboard: Dashboard) -> Iterator[Error]:
    """Every panel has a query."""
    for panel in boards.panels(dashboard):
        if not panel.get("targets"):
            yield panel["title"], "has no query"


def target_logql(dashboard: Dashboard) -> Iterator[Error]:
    """No query is for Loki (target-logql and target-logql-auto)."""
    for panel, target in boards.targets(dashboard):
        if target["datasource"]["type"] != "prometheus":
            yield panel["title"], f"asks {target['datasource']['type']}"


def target_promql(dashboard: Dashboard) -> Iterator[Error]:
    """Every query is PromQL."""
    for panel, target in boards.targets(dashboard):
        try:
            promql.parse(boards.fill(target["expr"]))
        except ValueError as error:
            yield panel["title"], f"{target['expr']}: {error}"


def target_rate_interval(dashboard: Dashboard) -> Iterator[Error]:
    """Every rate is over $__rate_interval."""
    for panel, _, node, parents in _nodes(dashboard):
        if not isinstance(node, promql.MatrixSelector) or not parents:
            continue
        above = parents[-1]
        if isinstance(above, promql.Call) and above.func.name in ("rate", "irate"):
            seconds = node.range.total_seconds()
            # 4m59s stands for it: no person would write that.
            if seconds != 299:
                yield panel["title"], f"has a rate over {seconds:g} s"


def _target_matcher(label: str) -> Rule:
    def rule(dashboard: Dashboard) -> Iterator[Error]:
        for panel, _, node, _ in _nodes(dashboard):
            if isinstance(node, promql.VectorSelector) and not any(
                (one.name, one.value) == (label, f"${label}") and one.op == promql.MatchOp.Re
                for one in node.matchers.matchers
            ):
                yield panel["title"], f"{node.name} is not limited to the chosen {label}"

    rule.__doc__ = f"Every selector is limited to the chosen {label}."
    return rule


def target_counter_agg(dashboard: Dashboard) -> Iterator[Error]:
    """Every counter is read through rate, irate or increase."""
    for panel, _, node, parents in _nodes(dashboard):
        if isinstance(node, promql.VectorSelector) and (node.name or "").endswith("_total"):
            call = parents[-2] if len(parents) > 1 else None
            if not isinstance(parents[-1] if parents else None, promql.MatrixSelector) or not (
                isinstance(call, promql.Call) and call.func.name in ("rate", "irate", "increase")
            ):
                yield panel["title"], f"{node.name} is a counter without a rate"


def uneditable_dashboard(dashboard: Dashboard) -> Iterator[Error]:
    """People change the source, not the picture."""
    if dashboard["editable"]:
        yield WHOLE, "is editable"


def _nodes(
    dashboard: Dashboard,
) -> Iterator[tuple[dict[str, Any], dict[str, Any], promql.Expr, tuple[promql.Expr, ...]]]:
    for panel, target in boards.targets(dashboard):
        try:
            parsed = promql.parse(boards.fill(target["expr"]))
        except ValueError:
            continue  # target-promql says so
        for node, parents in boards.walk(parsed):
            yield panel, target, node, parents


RULES: dict[str, Rule] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": _template("job"),
    "template-instance-rule": _template("instance"),
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard": uneditable_dashboard,
}

# A rule, a dashboard's uid, a pattern of the places where it may be broken, and why.
EXCLUSIONS: list[tuple[str, str, str, str]] = [
    (
        "template-instance-rule", "tabserve-drift", WHOLE,
        "a pushed metric has no instance: the job that pushed it is over",
    ),
    (
        "target-instance-rule", "tabserve-drift", ".*",
        "a pushed metric has no instance: the job that pushed it is over",
    ),
    (
        "target-instance-rule", "tabserve-service", "What budget is left[?]",
        "the budget is the service's, not a replica's",
    ),
    (
        "target-instance-rule", "tabserve-model",
        "How far did scores move[?]|Which features are missing more than in training[?]",
        "rules over the whole service: a replica alone has too few rows",
    ),
    (
        "target-(job|instance)-rule", "tabserve-model",
        "Is it worse than in training[?]|How good is it by its outcomes, and in training[?]",
        "pushed by the drift job, which is another job than the service",
    ),
    (
        "target-(job|instance)-rule", "tabserve-health",
        "How long ago did the drift job push[?]|How fresh is each group of the Pushgateway[?]",
        "pushed by the drift job, which is another job than the service",
    ),
    (
        "target-(job|instance)-rule", "tabserve-health",
        "When did workers and containers restart[?]|Does the CronJob run[?]",
        "of kube-state-metrics, which is another job than the service",
    ),
]  # fmt: skip


def excluded(rule: str, uid: str, place: str) -> bool:
    """Whether a rule may be broken at a place."""
    return any(
        re.fullmatch(rules, rule) and uid == board and re.fullmatch(places, place)
        for rules, board, places, _ in EXCLUSIONS
    )
