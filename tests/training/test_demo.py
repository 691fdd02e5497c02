"""The demo and the README's examples, run against the service with a small training."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest

from bentos.model.intake import importing, tracking
from bentos.training import demo
from bentos.training.data import Dataset
from tests.training.conftest import Outcome

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def client(first: Outcome, folder: Path) -> Iterator[httpx.Client]:
    """A client of the service on the small reference model, started as the demo starts it."""
    assert first.exit_code == 0, first.output
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("TABSERVE_DATA_DIR", str(folder))
        patch.chdir(ROOT)
        tracking.configure()
        patch.setenv("TABSERVE_MODEL", importing.import_model("models:/credit-default/1").tag)
        with demo.service(demo.free_port()) as client:
            yield client


def example(language: str) -> str:
    """The first example of the README in a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    assert found is not None
    return found.group(1)


def test_demo_talks_to_the_service(
    client: httpx.Client, reference: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo's good rows are scored, its bad ones refused, and it says what is served."""
    demo.talk(client, demo.rows_of(reference.features.tail(2)))
    ids = demo.send(client, demo.change(reference.features.tail(50)))
    demo.report(client)
    shown = capsys.readouterr().out
    assert "POST /v1/predict -> 200" in shown
    assert "POST /v1/predict -> 422" in shown
    assert "50 real rows in batches" in shown
    assert len(set(ids)) == 50
    # One alone, one in a batch.
    assert 'tabserve_rows_total{outcome="rejected"} 2.0' in shown


def test_demo_fails_on_an_unexpected_answer(client: httpx.Client) -> None:
    """An answer with another status ends the demo with a line that names both."""
    with pytest.raises(click.ClickException, match="answered 422, not 200"):
        demo.show(client, "a bad row", "/v1/predict", {}, 200)


def test_readme_curl_example_is_scored(client: httpx.Client) -> None:
    """The README's curl example, as it stands, gets a score."""
    command = example("sh").replace("http://127.0.0.1:3000", str(client.base_url).rstrip("/"))
    answer = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    assert re.search(rb'"score":0\.\d+,"label":[01]', answer), answer


def test_readme_python_example_runs(client: httpx.Client) -> None:
    """The README's Python example, as it stands, prints a score and the fault of a bad row."""
    code = example("python").replace("http://127.0.0.1:3000", str(client.base_url).rstrip("/"))
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    ).stdout
    assert "'pointer': '/instances/1/" in shown
    assert "'code': 'wrong_type'" in shown


def test_answers_of_readme_have_the_shape_of_the_service(client: httpx.Client) -> None:
    """The README's sample answer has the members that the service gives."""
    import json

    sample = json.loads(example("json"))
    command = example("sh").replace("http://127.0.0.1:3000", str(client.base_url).rstrip("/"))
    answer = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    assert json.loads(answer).keys() == sample.keys()
