"""The peers' own clients get the model's own scores to the last bit, and errors they can read."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bentoml
import pytest
from numpy.typing import NDArray

from tests.clients.environments import HERE, python_of
from tests.service.conftest import fresh, quick, rows, scores  # noqa: F401 - fixtures
from tests.service.process import Server, server

ROOT = HERE.parents[1]
CLIENTS = ("tritonclient", "kserve", "mlserver", "mlflow")
_RESULTS: list[dict[str, Any]] = []


@pytest.fixture(scope="module")
def asked(
    quick: dict[str, str],  # noqa: F811 - the fixture
    rows: list[dict[str, Any]],  # noqa: F811 - the fixture
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, Path]]:
    """`bentoml serve` on the binary model, and the rows that clients send."""
    folder = tmp_path_factory.mktemp("clients")
    stored = bentoml.models.get(quick["binary"])
    given = {"model": stored.tag.name, "version": str(stored.tag.version), "rows": rows}
    path = folder / "rows.json"
    path.write_text(json.dumps(given))
    with server(folder, TABSERVE_MODEL=quick["binary"]) as started:
        started.wait_until_ready()
        yield started, path


@pytest.fixture(scope="module", autouse=True)
def result() -> Iterator[None]:
    """Write down what was shown, once all clients are through."""
    yield
    if len(_RESULTS) < len(CLIENTS):
        return
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    lines = [
        f"# The peers' own clients, {today}",
        "",
        "`make test-clients`: each client in an environment of its own, against `bentoml serve` on",
        "the binary test model. Every way of asking below gave the model's own scores to the last",
        "bit.",
        "",
        "| client | what it asked | ways of asking for scores |",
        "|---|---|---|",
        *(
            f"| {one['client']} | {'; '.join(one['done'])} | {'; '.join(one['scores'])} |"
            for one in _RESULTS
        ),
    ]
    (HERE / "results" / f"{today}-clients.md").write_text("\n".join(lines) + "\n")


def run(name: str, script: str | Path, *arguments: str) -> str:
    """Run a script in a client's environment; give what it printed."""
    done = subprocess.run(
        [str(python_of(name)), str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", CLIENTS)
def test_client(
    name: str,
    asked: tuple[Server, Path],
    scores: NDArray[Any],  # noqa: F811 - the fixture
) -> None:
    """Every way in which a client asks gives the scores of the model to the last bit."""
    running, path = asked
    url = f"http://127.0.0.1:{running.port}"
    printed = run(name, HERE / "scripts" / f"{name}_asks.py", url, str(path))
    document = json.loads(printed.splitlines()[-1])
    assert document["done"] and document["scores"]
    for way, got in document["scores"].items():
        assert len(got) > len(scores) / 2, way
        expected = {number: float(scores[int(number)]).hex() for number in got}
        assert got == expected, way
    _RESULTS.append(document)


@pytest.mark.parametrize(
    ("page", "name"), [("open-inference.md", "tritonclient"), ("mlflow.md", "mlflow")]
)
def test_examples_of_the_documentation(
    page: str, name: str, asked: tuple[Server, Path], tmp_path: Path
) -> None:
    """The examples of the documentation that need a peer's client run in its environment."""
    running, _ = asked
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    chosen = [block for block in blocks if f"import {name}" in block or f"from {name}" in block]
    assert chosen, f"{page} has no example of {name}"
    for block in chosen:
        script = tmp_path / "example.py"
        script.write_text(block.replace("3000", str(running.port)))
        assert run(name, script)
