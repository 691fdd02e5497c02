"""The benchmark's exit code, its overload, and the versions that its peers run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests import bench
from loadtests.benchmark import measurement, overload, report, targets
from loadtests.benchmark.measurement import Logged, Measurements, Overload
from loadtests.peers import abilities
from loadtests.peers.catalogue import BY_NAME, DEVELOPMENT, OWN, PEERS, REQUIREMENTS, ROOT
from loadtests.traffic import wrk
from loadtests.traffic.openloop import Outcome
from tests.loadtests.benchmark.test_report import POINT

# One row a millisecond at the peak; a third of the arrivals accepted, the rest told to wait.
OUTCOME = Outcome(
    scheduled=3000,
    sent=3000,
    seconds=1.5,
    finished=2.0,
    latencies={200: [0.1] * 1000, 503: [0.01] * 2000},
    retry_after=2000,
    late=[0.001],
)

LOGGED = Logged(
    peer="tabserve-defaults",
    round=0,
    cpus=1,
    answered=100,
    cut_off=3,
    scored=100,
    dropped=0,
    stored=100,
)


def _overload(outcome: Outcome = OUTCOME) -> Overload:
    return overload.summarise(
        outcome,
        peer="tabserve",
        kind="row",
        rows=1,
        multiple=2.0,
        number=0,
        peak=1000.0,
        timeout_seconds=10.0,
    )


def _measured() -> Measurements:
    return Measurements({"date": "2026-01-01"}, "python -m loadtests.bench", points=[POINT])


def _locked(name: str) -> str:
    text = (ROOT / "uv.lock").read_text()
    found = re.search(rf'^name = "{re.escape(name)}"\nversion = "([^"]+)"', text, re.M)
    assert found
    return found[1]


ENVIRONMENTS = {p.environment for p in PEERS} | {p.mlflow_environment for p in PEERS}


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS - {OWN, DEVELOPMENT, ""}))
@pytest.mark.parametrize("suffix", ["in", "txt"])
def test_peers_run_the_service_s_versions(name: str, suffix: str) -> None:
    """A benchmark of different LightGBM or uvicorn releases would not be one of servers."""
    text = (REQUIREMENTS / f"{name}.{suffix}").read_text()
    shared: tuple[str, ...] = (
        *("lightgbm", "catboost", "xgboost-cpu", "uvicorn", "uvloop", "httptools"),
        *("bentoml", "mlflow"),
    )
    # What reads a pickle must be what wrote it.
    shared += ("scikit-learn", "pandas", "cloudpickle") if name == "fastapi-mlflow" else ()
    pinned = {
        package: found[1]
        for package in shared
        if (found := re.search(rf"^{package}==(\S+)", text, re.M))
    }
    assert pinned == {package: _locked(package) for package in pinned}
    required = {"lightgbm"} if suffix == "in" else {"lightgbm", "uvicorn"}
    assert required <= pinned.keys()


def test_exit_codes() -> None:
    """Different scores, failed requests and servers are 1; a missed target is in the report."""
    assert bench.exit_code(_measured()) == 0
    measured = _measured()
    measured.differences["fastapi row"] = 1e-16
    assert bench.exit_code(measured) == 1
    measured = _measured()
    measured.failed["mlflow"] = "not ready"
    assert bench.exit_code(measured) == 1
    measured = _measured()
    measured.points.append(replace(POINT, failures=1))
    assert bench.exit_code(measured) == 1
    measured = _measured()
    measured.overloads.append(_overload(replace(OUTCOME, broken=1)))
    assert bench.exit_code(measured) == 1
    measured = _measured()
    measured.logs.append(LOGGED)
    measured.cannot["mlserver"] = "its runtime reads LightGBM's models alone"
    assert bench.exit_code(measured) == 0
    measured.logs.append(replace(LOGGED, stored=99))
    assert bench.exit_code(measured) == 1


@pytest.mark.parametrize(
    ("changes", "is_whole"),
    [
        ({}, True),
        # Three requests were under way when their loop was stopped, and were scored.
        ({"scored": 103, "stored": 103}, True),
        ({"scored": 105, "stored": 105}, False),
        ({"stored": 99}, False),
        ({"stored": 101}, False),
        ({"scored": 99, "stored": 99}, False),
        ({"dropped": 1}, False),
    ],
)
def test_a_log_is_whole_or_not(changes: dict[str, int], is_whole: bool) -> None:
    """Each answered row is in the store, once, and nothing else but what was cut off."""
    assert replace(LOGGED, **changes).is_whole is is_whole  # type: ignore[arg-type]  # numbers all


def test_what_a_server_cannot_serve_is_known_before() -> None:
    """Peers of trees have no model of MLflow, MLServer none but LightGBM's, floors none at all."""
    pyfunc, trees = {"engine": "pyfunc"}, {"engine": "trees"}
    with pytest.raises(abilities.CannotServe, match="run by MLflow"):
        abilities.fit(BY_NAME["bentoml-stock"], pyfunc)
    with pytest.raises(abilities.CannotServe, match="LightGBM"):
        abilities.fit(BY_NAME["mlserver"], trees)
    assert abilities.fit(BY_NAME["fastapi"], pyfunc).environment == "fastapi-mlflow"
    assert abilities.fit(BY_NAME["fastapi"], trees).environment == "fastapi"
    assert abilities.fit(BY_NAME["floor"], pyfunc) == BY_NAME["floor"]


def test_what_cannot_run_is_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wrk, or without rows, there is no benchmark: exit code 2."""
    monkeypatch.setattr(wrk, "is_installed", lambda: False)
    assert bench.main(["--rows", str(tmp_path / "rows.jsonl")]) == 2
    monkeypatch.setattr(wrk, "is_installed", lambda: True)
    monkeypatch.setattr(bench, "has_two_cores", lambda: True)
    assert bench.main(["--rows", str(tmp_path / "rows.jsonl")]) == 2


def test_an_overload_is_summed_up() -> None:
    """Accepted, refused and failed are three things; refusing has its price."""
    found = _overload(replace(OUTCOME, wrong=1, unanswered=2))
    assert (found.offered, found.accepted_per_second) == (2000, 500)
    assert (found.shed, found.retry_after) == (2000, 2000)
    assert found.failures == {"wrong": 1, "unanswered": 2}
    # Half of the core went to 1,000 refusals a second: each took half an accepted one's time.
    assert found.refusal_cost == pytest.approx(0.5)


def test_an_overload_that_was_not_offered_proves_nothing() -> None:
    """Where the generator fell short, targets are not measured rather than met."""
    measured = _measured()
    measured.overloads.append(_overload(replace(OUTCOME, sent=2000)))
    verdicts = {target.text: met for target, _, met in targets.judge(measured)}
    assert verdicts["rows at 2 times the peak: accepted at least 0.8 of the peak"] is None
    measured.overloads = [_overload()]
    verdicts = {target.text: met for target, _, met in targets.judge(measured)}
    assert verdicts["rows at 2 times the peak: accepted at least 0.8 of the peak"] is False
    assert verdicts["rows at 2 times the peak: the rest told when to come again"] is True


def test_two_workers_are_judged_by_core_seconds() -> None:
    """Twice what a worker answers a core-second, for the generator sits on the same cores."""
    measured = _measured()
    measured.points.append(replace(POINT, workers=2, cpus=2, per_second=1000.0, cores=1.2))
    verdicts = {target.text: found for target, found, _ in targets.judge(measured)}
    assert verdicts["two workers: at least 1.7 times one, by answers a core-second"] == "1.67"


def test_workers_and_overload_are_in_the_report(tmp_path: Path) -> None:
    """Both have a section where they were measured, and none where not."""
    measured = _measured()
    assert "Overload" not in report.render(measured)
    measured.points.append(replace(POINT, workers=2, cpus=2, connections=64))
    measured.overloads.append(_overload())
    text = report.render(measured)
    assert "| row x 2 | 1,000 | 2,000 (2.0 x) | 500 | 0.50 | 100 | 100 | 67% |" in text
    assert "## tabserve with two workers" in text
    assert "## One row a request, 64 connections" not in text
    measurement.save(measured, tmp_path / "run.json")
    assert measurement.load(tmp_path / "run.json") == measured
