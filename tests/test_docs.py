"""The tables of README and docs/ equal the code."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from bentos.records.writer.log import Log
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.exposition.table import COUNTERS, GAUGES, HISTOGRAMS
from bentos.serving.worker import Worker
from bentos.settings import Settings, variable

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs" / "api.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()

DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/access.md",
    "docs/api.md",
    "docs/bulk.md",
    "docs/decisions.md",
    "docs/delta-lake.md",
    "docs/explanations.md",
    "docs/faults.md",
    "docs/hostile-bodies.md",
    "docs/metrics.md",
    "docs/mlflow.md",
    "docs/models.md",
    "docs/moving.md",
    "docs/open-inference.md",
    "docs/settings.md",
    "docs/speed.md",
    "docs/threat-model.md",
    "docs/troubleshooting.md",
    "bentos/records/README.md",
    "monitoring/README.md",
)

# Answered by BentoML, or the same thing under a second path.
_LEFT_TO_BENTOML = {"GET /livez"}


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a line of a document."""
    lines = text.partition(heading)[2].lstrip("\n").splitlines()
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def test_every_route_is_documented() -> None:
    """The route table lists exactly what the API answers, and BentoML's liveness route."""
    settings = Settings()  # type: ignore[call-arg]  # filled from the environment
    worker = Worker(settings, Metrics(), Log(settings))
    routes = {f"{method} {path}" for path, methods in worker.routes.items() for method in methods}
    documented = {row[0] for row in table(API, "## Routes")}
    assert documented == routes | _LEFT_TO_BENTOML


def plain(default: object) -> str:
    """A default as it would be typed."""
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


def test_every_setting_is_documented() -> None:
    """The settings table gives each variable, its default and its description."""
    documented = [tuple(row) for row in table(SETTINGS, "# Settings")]
    assert documented == [
        (variable(name), plain(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]


def test_every_metric_is_documented() -> None:
    """The metrics table gives each metric's exported name, type, labels and help text."""
    metrics = {
        f"{name}_total": ("counter", labels, about) for name, (labels, about) in COUNTERS.items()
    }
    metrics |= {
        name: ("histogram", labels, about) for name, (labels, _, about) in HISTOGRAMS.items()
    }
    metrics |= {name: ("gauge", labels, about) for name, (labels, _, about) in GAUGES.items()}
    documented = {
        name: (kind, tuple(re.findall(r"\w+", labels)), about)
        for name, kind, labels, about in table(METRICS, "# Metrics")
    }
    assert documented == metrics
    # The table of the code is what is exported.
    assert {family.name for family in Metrics().describe()} == {*COUNTERS, *HISTOGRAMS, *GAUGES}


def test_links_lead_somewhere() -> None:
    """Every relative link of the documents names a file of the project."""
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
            if "://" not in target:
                place = (ROOT / document).parent / target
                assert place.exists(), f"{document} links to {target}"


def test_code_map_names_real_files() -> None:
    """Every place that ARCHITECTURE.md maps exists; every package and top module is on the map."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for name in re.findall(r"`((?:bentos|loadtests|monitoring)/[\w/]*\.?\w*)`", text):
        assert (ROOT / name).exists(), name
    packages = [path.parent for path in (ROOT / "bentos").rglob("__init__.py")]
    named = {f"`{path.relative_to(ROOT)}/`" for path in packages}
    named |= {f"`{path.name}`" for path in (ROOT / "bentos").glob("*.py")} - {"`__init__.py`"}
    assert {name for name in named if name not in text} == set()


def test_each_decision_has_one_line_in_the_architecture() -> None:
    """ARCHITECTURE.md stays short, and lists what docs/decisions.md explains, area by area."""
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    assert len(architecture.splitlines()) < 200
    listed = architecture.partition("## Decisions\n")[2].partition("\n## ")[0]
    lines = [line for line in listed.splitlines() if line.startswith(("**", "- "))]
    explained = []
    for line in (ROOT / "docs" / "decisions.md").read_text().splitlines():
        if line.startswith("## "):
            explained.append(f"**{line.removeprefix('## ')}**")
        elif line.startswith("- "):
            explained.append("-")
    assert [line if line.startswith("**") else "-" for line in lines] == explained
