"""Rendering: committed files are what the sources give, and every knob turns something."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from monitoring.mixin import render
from tests.mixin import boards
from tests.service.checks import require

SOURCES = sorted(render.MIXIN.rglob("*.libsonnet"))

EMPTY = """{
  serviceSelector: '', driftSelector: '', pushgatewaySelector: '', kubeStateMetricsSelector: '',
  podSelector: '', cronJobSelector: '',
}"""


def expressions(made: dict[str, Any]) -> list[str]:
    """Every query of rules, alerts, panels and annotations."""
    found = [
        rule["expr"]
        for kind in ("rules", "alerts")
        for group in made[kind]["groups"]
        for rule in group["rules"]
    ]
    for dashboard in made["dashboards"].values():
        found += [target["expr"] for _, target in boards.targets(dashboard)]
        found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
        found += [boards.label_query(one["query"])[0] for one in boards.variables(dashboard)]
    return found


def test_committed_files_are_current(mixin: dict[str, Any]) -> None:
    """`make monitoring` would change nothing."""
    assert render.stale(render.OUT, mixin) == []


def test_stale_files_are_seen(mixin: dict[str, Any], tmp_path: Path) -> None:
    """A file that is missing, too many or changed is named; writing anew mends all three."""
    render.write(tmp_path, mixin)
    assert render.stale(tmp_path, mixin) == []
    (tmp_path / "rules.yaml").unlink()
    (tmp_path / "dashboards" / "old.json").write_text("{}")
    (tmp_path / "alerts.yaml").write_text("groups: []")
    assert render.stale(tmp_path, mixin) == ["alerts.yaml", "dashboards/old.json", "rules.yaml"]
    render.write(tmp_path, mixin)
    assert render.stale(tmp_path, mixin) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_jsonnetfmt(path: Path) -> None:
    """Sources are written as jsonnetfmt writes them."""
    jsonnetfmt = require("jsonnetfmt", "jsonnet")
    formatted = subprocess.run([jsonnetfmt, path], capture_output=True, check=True, text=True)
    assert formatted.stdout == path.read_text()


def test_every_query_parses(mixin: dict[str, Any], promtool: str, tmp_path: Path) -> None:
    """Every query parses, by promql-parser and by promtool."""
    queries = expressions(mixin)
    assert len(queries) > 150
    check_with_both(queries, promtool, tmp_path)


def test_empty_selectors(promtool: str, tmp_path: Path) -> None:
    """The mixin renders valid queries where no selector says anything."""
    made = render.evaluate(EMPTY)
    text = str(made)
    assert "{," not in text
    assert 'job="tabserve"' not in text
    check_with_both(expressions(made), promtool, tmp_path)


def test_other_labels(mixin: dict[str, Any], promtool: str, tmp_path: Path) -> None:
    """Labels that tell services and replicas apart are the user's to name."""
    made = render.evaluate("{ groupLabels: ['cluster', 'namespace', 'job'], instanceLabel: 'pod' }")
    for kind in ("rules", "alerts"):
        changed = copy.deepcopy(made[kind])
        for group in changed["groups"]:
            for rule in group["rules"]:
                assert "instance" not in rule["expr"], rule
    names = [one["name"] for one in boards.variables(made["dashboards"]["tabserve-service.json"])]
    assert names == ["cluster", "namespace", "job", "pod"]
    check_with_both(expressions(made), promtool, tmp_path)


def test_a_wrong_query_is_refused(promtool: str, tmp_path: Path) -> None:
    """Each parser refuses what is no PromQL."""
    for wrong in ("sum(rate(x[5m]", "rate(x)", "x{, job='y'}", "sum by (a) x y"):
        with pytest.raises(ValueError, match=r"."):
            promql.parse(wrong)
        assert not is_taken_by_promtool([wrong], promtool, tmp_path)


def test_a_wrong_source_says_where() -> None:
    """A mistake in jsonnet is an error that names it."""
    with pytest.raises(RuntimeError, match="notThere"):
        render.evaluate("{ shortWindow: self.notThere }")


def check_with_both(queries: list[str], promtool: str, folder: Path) -> None:
    """Fail where one of the two parsers refuses a query."""
    filled = [boards.fill(query) for query in queries]
    for query in filled:
        promql.parse(query)
    assert is_taken_by_promtool(filled, promtool, folder)


def is_taken_by_promtool(queries: list[str], promtool: str, folder: Path) -> bool:
    """Whether promtool takes all queries, as the expressions of recording rules."""
    rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(queries)]
    path = folder / "queries.yaml"
    path.write_text(render.to_yaml({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(
        [promtool, "check", "rules", path], capture_output=True, check=False, text=True
    )
    return checked.returncode == 0
