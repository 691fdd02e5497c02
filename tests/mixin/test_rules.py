"""Rules and alerts: promtool's checks, and that each is tested from both sides."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.mixin import render
from tests.mixin import boards

TESTS = sorted((render.MIXIN / "tests").glob("*.yaml"))

Key = tuple[str, frozenset[tuple[str, str]]]


def rules(made: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Every rule of a kind: `rules` or `alerts`."""
    return [rule for group in made[kind]["groups"] for rule in group["rules"]]


def run(promtool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool, whatever comes of it."""
    return subprocess.run([promtool, *arguments], capture_output=True, check=False, text=True)


def test_check(promtool: str) -> None:
    """promtool takes both files, and has nothing to say about them."""
    for name in ("rules.yaml", "alerts.yaml"):
        checked = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", render.OUT / name)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_cases(promtool: str, path: Path) -> None:
    """Every case of a test file comes out as it says."""
    tested = run(promtool, "test", "rules", path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def cases(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every case of test files."""
    for document in documents:
        yield from document["tests"]


def uncovered_alerts(made: Mapping[str, Any], documents: list[dict[str, Any]]) -> list[str]:
    """Alerts without a case that fires in full, or without one that must not fire."""
    fires: set[Key] = set()
    quiet: set[Key] = set()
    keys = {
        (rule["alert"], frozenset(rule["labels"].items())): rule["annotations"].keys()
        for rule in rules(made, "alerts")
    }
    for case in cases(documents):
        for test in case.get("alert_rule_test", ()):
            mine = [key for key in keys if key[0] == test["alertname"]]
            for key in mine:
                full = [
                    one
                    for one in test["exp_alerts"]
                    if key[1] <= one["exp_labels"].items()
                    and one["exp_annotations"].keys() == keys[key]
                ]
                (fires if full else quiet).add(key)
    return sorted(
        f"{name} {dict(labels)}: no case that {side}"
        for side, covered in (("fires", fires), ("must not fire", quiet))
        for name, labels in keys.keys() - covered
    )


def uncovered_records(made: Mapping[str, Any], documents: list[dict[str, Any]]) -> list[str]:
    """Recording rules without a case that gives a value, or without one that gives none."""
    values: set[str] = set()
    nothing: set[str] = set()
    for case in cases(documents):
        for test in case.get("promql_expr_test", ()):
            names = boards.metrics(test["expr"])
            (values if test.get("exp_samples") else nothing).update(names)
    names = {rule["record"] for rule in rules(made, "rules")}
    return sorted(
        f"{name}: no case that gives {what}"
        for what, covered in (("a value", values), ("nothing", nothing))
        for name in names - covered
    )


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """The test files."""
    return [yaml.safe_load(path.read_text()) for path in TESTS]


def test_coverage(mixin: dict[str, Any], documents: list[dict[str, Any]]) -> None:
    """Every alert and every recording rule is tested from both sides."""
    assert len(rules(mixin, "alerts")) > 30
    assert uncovered_alerts(mixin, documents) == []
    assert uncovered_records(mixin, documents) == []


@pytest.mark.parametrize("side", ["fires", "must not fire"])
def test_coverage_sees_a_missing_case(
    mixin: dict[str, Any], documents: list[dict[str, Any]], side: str
) -> None:
    """Without one of an alert's sides the coverage test fails, and says which."""
    for name in ("TabserveDown", "TabserveDrift"):
        left = [
            {
                "tests": [
                    case
                    for case in cases(documents)
                    if not any(
                        test["alertname"] == name and bool(test["exp_alerts"]) == (side == "fires")
                        for test in case.get("alert_rule_test", ())
                    )
                ]
            }
        ]
        assert [text for text in uncovered_alerts(mixin, left) if name in text] == [
            f"{name} {{'severity': '{severity}'}}: no case that {side}"
            for severity in {"TabserveDown": ["page"], "TabserveDrift": ["ticket"]}[name]
        ]


def test_coverage_sees_a_missing_annotation(
    mixin: dict[str, Any], documents: list[dict[str, Any]]
) -> None:
    """A case that leaves an annotation out does not count."""
    for case in cases(documents):
        for test in case.get("alert_rule_test", ()):
            for one in test["exp_alerts"]:
                one["exp_annotations"] = {"summary": one["exp_annotations"]["summary"]}
    missing = uncovered_alerts(mixin, documents)
    assert len(missing) == len(rules(mixin, "alerts"))


def test_coverage_sees_a_missing_record(mixin: dict[str, Any]) -> None:
    """A recording rule without cases is named for each side."""
    names = {rule["record"] for rule in rules(mixin, "rules")}
    assert len(uncovered_records(mixin, [])) == 2 * len(names)


# ---- what every alert must have


def test_alerts_are_whole(mixin: dict[str, Any]) -> None:
    """Severity, times, texts and links; the description has a number or a place in it."""
    for rule in rules(mixin, "alerts"):
        name = rule["alert"]
        assert re.fullmatch(r"Tabserve[A-Z]\w+", name)
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["for"] and rule["keep_firing_for"], name
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "dashboard_url", "runbook_url"}, name
        assert notes["runbook_url"].endswith(f"runbook.md#{name.lower()}"), name
        assert "$labels" in notes["description"] or "absent(" in rule["expr"], name


def test_dashboard_urls(mixin: dict[str, Any]) -> None:
    """An alert's dashboard exists, and has the variables that the link sets."""
    boards_by_uid = {one["uid"]: one for one in mixin["dashboards"].values()}
    for rule in rules(mixin, "alerts"):
        url = rule["annotations"]["dashboard_url"]
        uid, _, query = url.partition("/d/")[2].partition("?")
        names = {one["name"] for one in boards.variables(boards_by_uid[uid])}
        assert set(re.findall(r"var-(\w+)=", query)) <= names, rule["alert"]


def test_low_traffic_is_guarded(mixin: dict[str, Any]) -> None:
    """An alert on a share of requests or rows asks first whether there are enough of them."""
    for rule in rules(mixin, "alerts"):
        if re.search(r":ratio|:p95|:shift|:above_training| / ", rule["expr"]) and not re.search(
            r"saturation|spool", rule["expr"]
        ):
            assert re.search(r"and on \([^)]*\)\s+sum by .*increase\(.* >= \d+", rule["expr"]), (
                rule["alert"]
            )


def test_no_time_is_hard_coded() -> None:
    """Times of alerts come from the classes in the configuration, which say why."""
    for path in (render.MIXIN / "alerts").glob("*.libsonnet"):
        assert not re.search(r"'?for'?: '\d|keep_firing_for", path.read_text()), path.name
