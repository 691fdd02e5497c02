"""The runbook's log queries: Grafana's grammar takes them, and what they look for is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

import msgspec
import pytest

from bentos.serving.exposition.access_log import AccessLine
from monitoring.mixin import render

ROOT = render.MIXIN.parents[1]
NODE = render.MIXIN / "node"
RUNBOOK = (ROOT / "monitoring" / "runbook.md").read_text()
QUERIES = re.findall(r"```logql\n(.*?)\n```", RUNBOOK, flags=re.S)
COLLECTOR = (ROOT / "k8s" / "components" / "logging" / "config.alloy").read_text()
LABELS = set(re.findall(r'target_label += "(\w+)"', COLLECTOR))
# Members of an access line, and the one that lines of failures have besides.
MEMBERS = {field.name for field in msgspec.structs.fields(AccessLine)} | {"error"}


def ask_grammar(queries: list[str]) -> list[dict[str, list[Any]]]:
    """What each query names, and where the grammar finds an error in it."""
    grammar = NODE / "node_modules" / "@grafana" / "lezer-logql"
    if not grammar.is_dir() and os.environ.get("CI") != "true":
        pytest.skip("npm ci in monitoring/mixin/node brings the grammar: make monitoring-setup")
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "logql.mjs"],
        input=json.dumps(queries),
        cwd=NODE,
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[dict[str, list[Any]]] = json.loads(done.stdout)
    return answer


def find_faults(queries: list[str]) -> list[str]:
    """What is wrong with any of these queries."""
    sources = "\n".join(
        path.read_text()
        for folder in ("bentos", "monitoring/drift")
        for path in (ROOT / folder).rglob("*.py")
    )
    manifests = "\n".join(path.read_text() for path in (ROOT / "k8s").rglob("*.yaml"))
    faults = []
    for query, found in zip(queries, ask_grammar(queries), strict=True):
        faults += [f"{query}: not LogQL at {place}" for place in found["errors"]]
        faults += [f"{query}: no label {each}" for each in {*found["labels"]} - LABELS]
        faults += [f"{query}: no member {each}" for each in {*found["names"]} - LABELS - MEMBERS]
        for app in re.findall(r'app="([^"]+)"', query):
            if f"app.kubernetes.io/name: {app}\n" not in manifests:
                faults.append(f"{query}: no pod {app}")
        for line in found["lines"]:
            start, _, end = line.partition("(")
            parts = (
                [start + each for each in end.rstrip(")").split("|")] if end else line.split("|")
            )
            faults += [f"{query}: nothing writes {each}" for each in parts if each not in sources]
    return faults


def test_queries_are_real() -> None:
    """Each parses, and names what the collector sets and what our code writes."""
    assert len(QUERIES) >= 20
    assert find_faults(QUERIES) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ('{app="tabserve"} | json | status >> 500', "not LogQL"),
        ('{job="tabserve"}', "no label job"),
        ('{app="tabserv"}', "no pod tabserv"),
        ('{app="tabserve"} | json | code >= 500', "no member code"),
        ('{app="tabserve"} |~ `not ready: |nor this`', "nothing writes nor this"),
        (
            '{app="tabserve"} |~ `the prediction log (is up)`',
            "nothing writes the prediction log is up",
        ),
    ],
)
def test_wrong_queries_are_seen(query: str, fault: str) -> None:
    """The check above can fail, for each of its reasons."""
    (found,) = find_faults([query])
    assert fault in found
