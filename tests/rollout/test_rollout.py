"""`tabserve rollout` from its start to its end, on a stand-in for kubectl and for Prometheus."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.rollout.command import _annotate
from tests.rollout.conftest import Served, State

OLD = "registry.example/tabserve:0.1.0"
NEW = "registry.example/tabserve:0.2.0"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits: looks follow each other at once."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def run(*arguments: str) -> Result:
    """Call the command."""
    return CliRunner().invoke(main, ["rollout", *arguments])


def start(prometheus: Served, *arguments: str, image: str = NEW) -> Result:
    """Start a rollout that is judged by `prometheus`."""
    return run("start", image, "--prometheus", prometheus.url, *arguments)


def test_a_good_canary_is_promoted(state: State, prometheus: Served) -> None:
    """It replays, passes every step, replaces the stable image and is gone."""
    result = start(prometheus)
    assert result.exit_code == 0, result.output
    assert state.image == NEW
    assert state.read("deployment", "tabserve-canary") is None
    assert state.record["outcome"] == "promoted"
    assert [step["percent"] for step in state.record["steps"]] == [5, 25, 50]
    assert "600 scored" in result.output
    calls = (state.folder / "calls.txt").read_text()
    assert calls.index("job/tabserve-replay") < calls.index("deployment/tabserve-canary")


def test_a_bad_canary_is_taken_away(state: State, prometheus: Served) -> None:
    """The first look that finds it worse ends it: exit 1, the reason, the old image."""
    prometheus.errors = 500
    result = start(prometheus, "--no-replay")
    assert result.exit_code == 1
    assert "rolled back: errors: 10.00% against 0.00%" in result.output
    assert state.image == OLD
    assert state.read("deployment", "tabserve-canary") is None
    assert state.record["outcome"] == "rolled back"
    assert len(state.record["steps"]) == 1


def test_no_data_is_not_promoted(state: State, prometheus: Served) -> None:
    """A canary that nobody asks is taken away when its time is over."""
    prometheus.requests = 0
    result = start(prometheus, "--no-replay", "--deadline-seconds", "45", "--look-seconds", "60")
    assert result.exit_code == 1
    assert "rolled back: cannot tell in 45 s: errors: 0 of 200 of the canary" in result.output
    assert state.image == OLD


def test_held_for_a_person(state: State, prometheus: Served) -> None:
    """With --hold the canary stays, and promote or abort decides."""
    prometheus.requests = 0
    waiting = ("--no-replay", "--hold", "--deadline-seconds", "45", "--look-seconds", "60")
    assert start(prometheus, *waiting).exit_code == 3
    assert state.record["outcome"] == "undecided"
    assert "a rollout is under way" in start(prometheus).output
    assert "a rollout is under way" in run("undo").output
    assert run("promote").exit_code == 0
    assert state.image == NEW
    assert json.loads(run("status").output)["outcome"] == "promoted"


def test_aborted_by_hand(state: State, prometheus: Served) -> None:
    """Abort takes the canary away and keeps the reason."""
    prometheus.requests = 0
    start(prometheus, "--no-replay", "--hold", "--deadline-seconds", "45", "--look-seconds", "60")
    assert run("abort", "--reason", "wrong image").exit_code == 0
    assert state.record["reason"] == "wrong image"
    assert "there is no canary" in run("abort").output
    assert "there is no canary" in run("promote").output


def test_a_replay_that_differs_takes_no_traffic(state: State, prometheus: Served) -> None:
    """Where the replay fails, no canary is made and Prometheus is not asked."""
    result = start(prometheus, image="registry.example/tabserve:unlike")
    assert result.exit_code == 1
    assert "rolled back: replay: too many decisions would change" in result.output
    assert state.record["outcome"] == "refused"
    assert prometheus.asked == []


def test_never_ready(state: State, prometheus: Served) -> None:
    """A canary that cannot prove its model is taken away before it is judged."""
    result = start(prometheus, "--no-replay", image="registry.example/tabserve:never-ready")
    assert result.exit_code == 1
    assert "could not prove itself" in result.output
    assert state.image == OLD


def test_prometheus_that_fails(state: State, prometheus: Served) -> None:
    """Where nobody can look, the canary is taken away."""
    prometheus.status = 503
    result = start(prometheus, "--no-replay")
    assert result.exit_code == 1
    assert "Prometheus refused a query with 503" in result.output
    assert state.read("deployment", "tabserve-canary") is None


def test_prometheus_that_is_away(state: State) -> None:
    """One line, without the address, which may hold a password."""
    result = run("start", NEW, "--no-replay", "--prometheus", "http://me:secret@127.0.0.1:1")
    assert result.exit_code == 1
    assert "Prometheus cannot be asked: " in result.output
    assert "secret" not in result.output


def test_undo(state: State, prometheus: Served) -> None:
    """It returns to the image before; without one it says so."""
    assert "no revision with another image is kept" in run("undo").output
    assert start(prometheus, "--no-replay").exit_code == 0
    assert run("undo").exit_code == 0
    assert state.image == OLD
    assert state.record["outcome"] == "returned"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", OLD), "stable version already"),
        (("start", NEW, "--steps", "50,5"), "rising percentages"),
        (("start", NEW, "--prometheus", "prometheus:9090"), "must be an http or https URL"),
    ],
)
def test_wrong_arguments(state: State, arguments: tuple[str, ...], message: str) -> None:
    """One line, and nothing was changed."""
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert state.read("configmap", "tabserve-rollout") is None


def test_nothing_applied(state: State) -> None:
    """An empty namespace is told as such."""
    (state.folder / "deployment-tabserve.json").unlink()
    assert "apply an overlay first" in run("start", NEW).output
    assert json.loads(run("status").output) == {"outcome": "none"}


def test_without_kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where kubectl is missing, that is what is said."""
    monkeypatch.setenv("PATH", "")
    assert "a rollout needs kubectl on PATH" in run("status").output


def test_a_grafana_that_is_away_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An annotation that cannot be written is one line on standard error."""
    _annotate("http://127.0.0.1:1", "text")
    assert "no annotation was written" in capsys.readouterr().err
