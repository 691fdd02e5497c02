"""Panels against Grafana's own types: tsc for enums and names, the foundation SDK for keys.

`@grafana/schema`'s generic `Dashboard` leaves options unknown, so every panel is checked
against the types of its own kind, enums as the literals that JSON has. The SDK (Python, of
another Grafana version) reads each dashboard and writes it again: what it does not know is
missing afterwards.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as sdk

from monitoring.mixin import render
from tests.mixin import boards

NODE = render.MIXIN / "node"
TSC = NODE / "node_modules" / ".bin" / "tsc"
KINDS = {
    "stat": "stat",
    "timeseries": "timeseries",
    "heatmap": "heatmap",
    "state-timeline": "statetimeline",
    "table": "table",
}
# Grafana's Prometheus data source reads these from an annotation; no schema has them.
_OF_THE_DATASOURCE = r"/annotations/list/\d+/(step|titleFormat|textFormat)"
# Options alone: a stat has no field configuration of its own.
_WITHOUT_FIELDS = {"stat"}

_HEAD = """
// Enums as their values, which is what JSON has.
type Plain<T> = T extends string ? `${T}` : T extends number | boolean | undefined | null ? T
  : T extends Array<infer U> ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


def typescript(dashboards: dict[str, Any]) -> str:
    """A program that is well typed where every panel is."""
    types = NODE / "node_modules" / "@grafana" / "schema" / "dist" / "types" / "raw" / "composable"
    lines = [
        f"import * as {module} from '{types}/{module}/panelcfg/x/types.gen';"
        for module in KINDS.values()
    ]
    lines.append(_HEAD)
    for uid, board in dashboards.items():
        for panel in boards.panels(board):
            kind, name = KINDS[panel["type"]], f"{uid.replace('-', '_')}_{panel['id']}"
            options = json.dumps(panel["options"])
            lines.append(f"const {name}: Plain<{kind}.Options> = {options};")
            custom = panel["fieldConfig"]["defaults"].get("custom")
            if kind not in _WITHOUT_FIELDS:
                fields = json.dumps(custom or {})
                lines.append(f"const {name}_fields: Plain<{kind}.FieldConfig> = {fields};")
    return "\n".join(lines) + "\nexport {};\n"


def check_types(dashboards: dict[str, Any], folder: Path) -> str:
    """What tsc has to say; nothing where all is well."""
    if not TSC.exists():
        reason = "Grafana's types are not installed: make monitoring-setup"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    program = folder / "panels.ts"
    program.write_text(typescript(dashboards))
    return subprocess.run(
        [TSC, "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022",
         "--module", "esnext", "--moduleResolution", "bundler", program],
        capture_output=True, check=False, text=True,
    ).stdout  # fmt: skip


def lost(given: Any, got: Any, path: str = "") -> Iterator[str]:
    """Places of a document that are not in what was written again."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(got, dict) or key not in got:
                yield f"{path}/{key}"
            else:
                yield from lost(value, got[key], f"{path}/{key}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            if not isinstance(got, list) or index >= len(got):
                yield f"{path}/{index}"
            else:
                yield from lost(value, got[index], f"{path}/{index}")


def unknown_keys(board: dict[str, Any]) -> list[str]:
    """Keys that the foundation SDK does not know."""
    read = sdk.Dashboard.from_json(copy.deepcopy(board))
    again = json.loads(JSONEncoder().encode(read))
    # An empty object, or a value that is the type's own null, may be left out.
    return [
        path
        for path in lost(board, again)
        if not _is_nothing(board, path) and not re.fullmatch(_OF_THE_DATASOURCE, path)
    ]


def _is_nothing(board: Any, path: str) -> bool:
    value = board
    for part in path.strip("/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value is None or value in ({}, [])


def test_types(dashboards: dict[str, Any], tmp_path: Path) -> None:
    """Every panel has the options and the field configuration of its kind."""
    assert check_types(dashboards, tmp_path) == ""


def test_keys(dashboards: dict[str, Any]) -> None:
    """Every key is one that Grafana's schema has."""
    for board in dashboards.values():
        assert unknown_keys(board) == []


def _panel(dashboards: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        panel
        for board in dashboards.values()
        for panel in boards.panels(board)
        if panel["type"] == kind
    )
    return found


MISTAKES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a wrong enum of an option": lambda made: _panel(made, "stat")["options"].update(
        colorMode="valu"
    ),
    "a wrong enum of a field": lambda made: _panel(made, "timeseries")["fieldConfig"]["defaults"][
        "custom"
    ].update(drawStyle="lines"),
    "an unknown option": lambda made: _panel(made, "heatmap")["options"].update(cellGaps=1),
    "a value of another type": lambda made: _panel(made, "state-timeline")["options"].update(
        rowHeight="high"
    ),
    "a missing option": lambda made: _panel(made, "table")["options"].pop("showHeader"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_types_see_mistakes(dashboards: dict[str, Any], tmp_path: Path, mistake: str) -> None:
    """A mistake planted in a panel is a type error."""
    made = copy.deepcopy(dashboards)
    MISTAKES[mistake](made)
    assert "error TS" in check_types(made, tmp_path)


@pytest.mark.parametrize(
    "path", [("refreshh",), ("templating", "listt"), ("panels", 0, "targetss")], ids=str
)
def test_keys_see_mistakes(dashboards: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """A key that Grafana does not know is found, wherever it is."""
    board = copy.deepcopy(dashboards["tabserve-service"])
    place: Any = board
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = "x"
    assert unknown_keys(board) == ["/" + "/".join(map(str, path))]
