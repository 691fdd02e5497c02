"""`python -m k8s.rules`: print the PrometheusRule of what the mixin renders (`make monitoring`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

RENDERED = Path(__file__).parents[1] / "monitoring" / "out"
TARGET = Path(__file__).parent / "components" / "prometheus-operator" / "prometheus-rule.yaml"
HEAD = "# Made from monitoring/out by `make monitoring`: change the mixin.\n"


class _Dumper(yaml.SafeDumper):
    """Writes each text out where it stands: anchors are hard to read in a manifest."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render() -> str:
    """Wrap alerts and rules, unchanged, in the operator's object."""
    groups: list[Any] = []
    for name in ("alerts.yaml", "rules.yaml"):
        groups += yaml.safe_load((RENDERED / name).read_text())["groups"]
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "tabserve",
            "labels": {
                "app.kubernetes.io/name": "tabserve",
                "app.kubernetes.io/part-of": "tabserve",
            },
        },
        "spec": {"groups": groups},
    }
    return HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


if __name__ == "__main__":
    TARGET.write_text(render())
