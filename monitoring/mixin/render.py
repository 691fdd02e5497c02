"""Renders the mixin: `python -m monitoring.mixin.render [--check]`.

Jsonnet in, files that Prometheus, Alertmanager and Grafana load out. `--check` writes
nothing and fails where `monitoring/out` is not what the sources give.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _gojsonnet
import yaml

MIXIN = Path(__file__).parent
OUT = MIXIN.parent / "out"

_YAML = ("rules", "alerts", "alertmanager")
_HEADER = "# Rendered from monitoring/mixin by `make monitoring`: change it there.\n"

# Everything that a mixin makes, as one document.
_SNIPPET = """
local mixin = (import 'mixin.libsonnet') + { _config+:: %s };
{
  rules: mixin.prometheusRules,
  alerts: mixin.prometheusAlerts,
  alertmanager: mixin.alertmanager,
  dashboards: mixin.grafanaDashboards,
}
"""


class _Text(yaml.SafeDumper):
    """Writes texts of several lines as blocks, as people do."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Text.add_representer(str, _represent_text)


def evaluate(overrides: str = "{}") -> dict[str, Any]:
    """The rendered mixin. `overrides`: jsonnet that is merged into its configuration.

    Raises RuntimeError, with jsonnet's own message.
    """
    text = _gojsonnet.evaluate_snippet(
        str(MIXIN / "-"), _SNIPPET % overrides, jpathdir=[str(MIXIN)]
    )
    made: dict[str, Any] = json.loads(text)
    return made


def files(made: Mapping[str, Any]) -> dict[str, str]:
    """The files of a rendered mixin, by their names under `monitoring/out`."""
    written = {
        f"{name}.yaml": _HEADER + to_yaml(made[name])
        for name in ("rules", "alerts", "alertmanager")
    }
    for name, dashboard in made["dashboards"].items():
        written[f"dashboards/{name}"] = json.dumps(dashboard, indent=2, sort_keys=True) + "\n"
    return written


def to_yaml(document: object) -> str:
    """A document as YAML, texts of several lines as blocks."""
    text: str = yaml.dump(document, Dumper=_Text, sort_keys=False, width=1000, allow_unicode=True)
    return text


def write(folder: Path, made: Mapping[str, Any]) -> None:
    """Write the files and remove those that are no more."""
    wanted = files(made)
    for gone in _present(folder) - wanted.keys():
        (folder / gone).unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stale(folder: Path, made: Mapping[str, Any]) -> list[str]:
    """Names of the files that are missing, too many, or not what the sources give."""
    wanted = files(made)
    present = _present(folder)
    differing = {
        name for name in wanted.keys() & present if (folder / name).read_text() != wanted[name]
    }
    return sorted((wanted.keys() ^ present) | differing)


def _present(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def main() -> None:
    """Render, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    arguments = parser.parse_args()
    try:
        made = evaluate()
    except RuntimeError as error:
        raise SystemExit(f"monitoring/mixin does not render: {error}") from None
    if not arguments.check:
        write(OUT, made)
    elif differing := stale(OUT, made):
        raise SystemExit(f"stale, run make monitoring: {', '.join(differing)}")
    sys.stdout.write(f"{len(files(made))} files in {OUT.name}\n")


if __name__ == "__main__":
    main()
