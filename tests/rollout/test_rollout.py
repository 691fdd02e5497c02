"""`tabserve rollout` from its start to its end, on a stand-in for kubectl and for Prometheus."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.rollout.command import _annotate
from tests.k8s.rendered import render
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


@pytest.fixture
def route(state: State) -> State:
    """components/gateway is applied: requests are shared out by weight."""
    for item in render("gateway"):
        if item["kind"] == "HTTPRoute":
            (state.folder / "httproute-tabserve.json").write_text(json.dumps(item))
    return state


def weights(state: State) -> dict[str, int]:
    """The weight of each Service in the route."""
    found = state.read("httproute", "tabserve")
    assert found is not None
    (rule,) = found["spec"]["rules"]
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


def test_weights_follow_the_steps(route: State, prometheus: Served) -> None:
    """With an HTTPRoute a step is its percentage, and the canary's weight ends at 0."""
    result = start(prometheus, "--no-replay", "--steps", "5,25")
    assert result.exit_code == 0, result.output
    assert "5 %: 1 canary to 3 stable, 5% of requests, by weight" in result.output
    assert [step["share"] for step in route.record["steps"]] == [0.05, 0.25]
    assert weights(route) == {"tabserve-stable": 100, "tabserve-canary": 0}
    # Weight after the canary is ready, and gone before the canary is.
    calls = (route.folder / "calls.txt").read_text().splitlines()
    ready = next(n for n, call in enumerate(calls) if "deployment/tabserve-canary" in call)
    weighed = [n for n, call in enumerate(calls) if call == "applied HTTPRoute tabserve"]
    gone = next(n for n, call in enumerate(calls) if "delete deployment tabserve-canary" in call)
    assert ready < weighed[0] < weighed[-1] < gone


def test_a_bad_canary_loses_its_weight(route: State, prometheus: Served) -> None:
    """The route is back at the stable version before the canary is taken away."""
    prometheus.errors = 500
    assert start(prometheus, "--no-replay").exit_code == 1
    assert weights(route) == {"tabserve-stable": 100, "tabserve-canary": 0}
    assert route.read("deployment", "tabserve-canary") is None


def test_a_held_canary_keeps_its_weight(route: State, prometheus: Served) -> None:
    """With --hold the canary gets its share until a person decides."""
    prometheus.requests = 0
    waiting = ("--no-replay", "--hold", "--deadline-seconds", "45", "--look-seconds", "60")
    assert start(prometheus, *waiting).exit_code == 3
    assert weights(route) == {"tabserve-stable": 95, "tabserve-canary": 5}
    assert run("abort").exit_code == 0
    assert weights(route) == {"tabserve-stable": 100, "tabserve-canary": 0}


def test_a_foreign_route_is_refused(route: State, prometheus: Served) -> None:
    """A route that does not name both Services is not changed."""
    path = route.folder / "httproute-tabserve.json"
    path.write_text(path.read_text().replace("tabserve-canary", "theirs"))
    before = path.read_text()
    result = start(prometheus, "--no-replay")
    assert "no rule of the HTTPRoute tabserve has both Services" in result.output
    assert path.read_text() == before
    assert route.read("deployment", "tabserve-canary") is None


def test_a_candidate_in_shadow_mode(state: State) -> None:
    """It needs the component, answers nobody, and is taken away again."""
    assert "add components/shadow to the overlay" in run("shadow", NEW).output
    (state.folder / "service-tabserve-shadow.json").write_text("{}")
    result = run("shadow", NEW)
    assert result.exit_code == 0, result.output
    made = state.read("deployment", "tabserve-shadow")
    assert made is not None
    assert made["spec"]["replicas"] == 1
    assert made["spec"]["template"]["metadata"]["labels"]["tabserve.io/track"] == "shadow"
    assert run("shadow", "--stop").exit_code == 0
    assert state.read("deployment", "tabserve-shadow") is None
    assert "no candidate is in shadow mode" in run("shadow", "--stop").output
    assert "name an image, or --stop" in run("shadow").output
    failed = run("shadow", "registry.example/tabserve:never-ready")
    assert "did not get ready" in failed.output
    assert state.read("deployment", "tabserve-shadow") is None


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
