"""The runbook: a section for every alert, with commands that are real."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bentos.cli import main
from bentos.serving.exposition.table import COUNTERS, GAUGES, HISTOGRAMS
from monitoring.mixin import render
from tests.mixin import boards

ROOT = render.MIXIN.parents[1]
RUNBOOK = (ROOT / "monitoring" / "runbook.md").read_text()
PARTS = (
    *("Meaning", "Impact", "First looks", "Likely causes"),
    *("Fix", "Roll back?", "Over when"),
)
SECTIONS = {
    section.partition("\n")[0]: section for section in re.split(r"^## ", RUNBOOK, flags=re.M)[1:]
}
COMMANDS = sorted(
    {
        line
        for section in SECTIONS.values()
        for block in re.findall(r"```sh\n(.*?)```", section, flags=re.S)
        for line in block.splitlines()
    }
    | {
        text.rstrip(".")
        for text in re.findall(r"`((?:kubectl|uv run tabserve|make) [^`]+)`", RUNBOOK)
    }
)


def test_every_alert_has_a_section(mixin: dict[str, Any]) -> None:
    """Sections and alerts are the same."""
    alerts = {rule["alert"] for group in mixin["alerts"]["groups"] for rule in group["rules"]}
    assert SECTIONS.keys() == alerts


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_whole(name: str) -> None:
    """A section says all that a person needs at night, and has commands to begin with."""
    for part in PARTS:
        found = re.search(rf"\*\*{re.escape(part)}\.?\*\*\s+(\S.*)", SECTIONS[name])
        assert found, part
    assert "```sh\n" in SECTIONS[name]


def test_links_of_alerts_lead_to_sections(mixin: dict[str, Any]) -> None:
    """The end of each `runbook_url` is the heading of a section, as Markdown makes it."""
    anchors = {name.lower() for name in SECTIONS}
    for group in mixin["alerts"]["groups"]:
        for rule in group["rules"]:
            url = rule["annotations"]["runbook_url"]
            assert url.rpartition("#")[2] in anchors
            assert url.partition("#")[0].endswith("/monitoring/runbook.md")


def objects() -> set[tuple[str, str]]:
    """Kinds and names of the manifests' objects."""
    found = set()
    for path in (ROOT / "k8s").rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if isinstance(document, dict) and "name" in document.get("metadata", {}):
                found.add((document["kind"].lower(), document["metadata"]["name"]))
    return found


def names_of_labels() -> set[str]:
    """Values of `app.kubernetes.io/name` in the manifests."""
    texts = [path.read_text() for path in (ROOT / "k8s").rglob("*.yaml")]
    return set(re.findall(r"app\.kubernetes\.io/name: (\S+)", "\n".join(texts)))


def check_kubectl(words: list[str]) -> None:
    """Every object and label that a kubectl command names is one of the manifests'."""
    assert words[1:3] == ["-n", "tabserve"]
    verbs = {"get", "describe", "logs", "rollout", "port-forward", "top", "create", "scale"}
    assert words[3] in verbs, words
    for selector in (word for word in words if word.startswith("app.kubernetes.io/name=")):
        assert selector.partition("=")[2] in names_of_labels(), selector
    named = [
        word.removeprefix("--from=") for word in words if re.search(r"^(--from=)?\w+/\w", word)
    ]
    named += [f"cronjob/{words[5]}"] if words[3:5] == ["get", "cronjob"] else []
    for name in named:
        if not name.startswith("app."):
            assert tuple(name.split("/", 1)) in objects(), name


def check_tabserve(words: list[str]) -> None:
    """The command exists and takes these options and so many arguments."""
    command = main.get_command(click.Context(main), words[0])
    if isinstance(command, click.Group):
        words = words[1:]
        command = command.get_command(click.Context(command), words[0])
    assert command is not None, words
    if "--help" in words:
        return
    context = command.make_context(words[0], [*words[1:]], resilient_parsing=True)
    # Resilient parsing runs nothing and opens nothing, but still refuses unknown options.
    assert context.command is command
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, words


def check_curl(words: list[str]) -> None:
    """The address is a route of the service; what grep looks for is a metric."""
    path = words[2].removeprefix("http://127.0.0.1:3000")
    assert path in {"/readyz", "/metrics", "/v1/model"}, path
    if "grep" in words:
        names = [
            *(f"{name}_total" for name in COUNTERS),
            *(f"{name}{end}" for name in HISTOGRAMS for end in ("_bucket", "_sum", "_count")),
            *GAUGES,
        ]
        assert any(name.startswith(words[-1]) for name in names), words


def check_make(words: list[str]) -> None:
    """The target exists."""
    assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), flags=re.M), words


def check_promtool(words: list[str]) -> None:
    """The query is asked of Prometheus' own address."""
    assert words[:2] == ["query", "instant"]


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "kubectl": check_kubectl,
    "uv": lambda words: check_tabserve(words[3:]),
    "curl": check_curl,
    "make": lambda words: check_make(words[1:]),
    "promtool": lambda words: check_promtool(words[1:]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_real(command: str) -> None:
    """A command of the runbook names programs, objects, routes and options that exist."""
    words = shlex.split(command)
    CHECKS[words[0]](words)


@pytest.mark.parametrize(
    "command",
    [
        "kubectl -n tabserve rollout undo deployment/tabserv",
        "kubectl -n tabserve get cronjob tabserve-drif",
        "uv run tabserve record --since 1h",
        "uv run tabserve records --sinc 1h",
        "curl -s http://127.0.0.1:3000/ready",
        "curl -s http://127.0.0.1:3000/metrics | grep tabserve_requests_in_fligth",
        "make drifts",
    ],
)
def test_wrong_commands_are_seen(command: str) -> None:
    """A name that does not exist is found."""
    words = shlex.split(command)
    with pytest.raises((AssertionError, click.UsageError)):
        CHECKS[words[0]](words)


def test_paths_are_in_the_project() -> None:
    """Relative links of the runbook lead to files."""
    for target in re.findall(r"\]\(([^)#]+)\)", RUNBOOK):
        assert (ROOT / "monitoring" / Path(target)).exists(), target


def test_panels_are_real(dashboards: dict[str, Any]) -> None:
    """Every question that the runbook quotes is the title of a panel."""
    titles = {panel["title"] for board in dashboards.values() for panel in boards.panels(board)}
    quoted = set(re.findall(r'"([A-Z][^"]*[?])"', RUNBOOK))
    assert quoted
    assert quoted <= titles


def test_settings_are_real() -> None:
    """Every variable that the runbook names is a setting of the service or of the drift job."""
    pages = [ROOT / "docs" / "settings.md", ROOT / "monitoring" / "README.md"]
    known = set(re.findall(r"^\| `(TABSERVE_\w+)`", "\n".join(p.read_text() for p in pages), re.M))
    assert set(re.findall(r"TABSERVE_\w+", RUNBOOK)) <= known
