"""What a run tells: a real Pushgateway scraped by a real Prometheus, and annotations.

Grafana is a small HTTP server that stands in for its annotation route alone.
"""

from __future__ import annotations

import json
import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from monitoring.drift import job
from monitoring.drift.decision.findings import OUTCOMES, Outcome
from monitoring.drift.publishing import publish, push
from monitoring.drift.settings import Settings
from tests.monitoring.conftest import NOW, QUICK, Written, make_frame
from tests.monitoring.servers import Annotations, answering, free_port, get, running


@pytest.fixture(scope="module")
def gateway(need: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Pushgateway."""
    need("prometheus-pushgateway")
    url = f"http://127.0.0.1:{free_port()}"
    # Debian's keeps metrics in a file of the machine's: not these, nor those of an earlier test.
    command = [
        "prometheus-pushgateway",
        f"--web.listen-address={url[7:]}",
        "--persistence.file=",
    ]
    log = tmp_path_factory.mktemp("pushgateway") / "log"
    with running(command, f"{url}/-/ready", log):
        yield url


@pytest.fixture
def grafana() -> Iterator[Annotations]:
    """The stand-in for Grafana's annotation route."""
    server = Annotations()
    yield server
    server.close()


def queries() -> list[str]:
    """The PromQL of `monitoring/README.md`."""
    text = (Path(publish.__file__).parents[2] / "README.md").read_text()
    return [part.partition("```")[0] for part in text.split("```promql\n")[1:]]


def one_line(text: str) -> str:
    """What was logged, which must be one line and hold no secret."""
    assert "hunter2" not in text
    (line,) = text.splitlines()
    return line


def run(log: Written, name: str = "run-1", **options: object) -> list[str]:
    """One run, told to whom the options name; gives the outcomes."""
    settings = replace(Settings(store=log.url, limits=QUICK), **options)  # type: ignore[arg-type]  # its fields
    done = job.work(settings, NOW, name)
    publish.publish(done, settings, 1.5)
    return [item.entry.outcome for item in done]


def samples(gateway: str) -> dict[str, float]:
    """Every sample of the Pushgateway, by name and labels."""
    lines = [line for line in get(f"{gateway}/metrics").splitlines() if "tabserve_drift" in line]
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def find(gateway: str, name: str, **labels: str) -> float | None:
    """The value of the one sample with that name and those labels."""
    found = [
        value
        for sample, value in samples(gateway).items()
        if sample.startswith(f"{name}{{") and all(f'{k}="{v}"' in sample for k, v in labels.items())
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_results_reach_the_gateway(log: Written, gateway: str) -> None:
    """Features, checks, rows, window and outcome, in a group of job and model."""
    frame = make_frame(1_000, seed=3)
    frame["income"] *= 2.0
    log.add(frame)
    assert run(log, pushgateway=gateway) == ["drift"]
    ours = {"job": "tabserve_drift", "model": "credit", "version": "v1"}
    said = {
        name: find(gateway, "tabserve_drift_outcome", **ours, outcome=name) for name in OUTCOMES
    }
    assert said == {name: float(name == "drift") for name in OUTCOMES}
    assert find(gateway, "tabserve_drift_distinct_rows", **ours) == 1_000
    assert find(gateway, "tabserve_drift_alpha", **ours) == 0.05
    assert find(gateway, "tabserve_drift_rows", **ours) == 1_000
    assert find(gateway, "tabserve_drift_window_end_timestamp_seconds", **ours) == NOW.timestamp()
    assert find(gateway, "tabserve_drift_feature_drifted", **ours, feature="income") == 1
    assert find(gateway, "tabserve_drift_feature_drifted", **ours, feature="owner") == 0
    assert find(gateway, "tabserve_drift_check_p_value", **ours, check="mmd") == 1 / 200
    # Of five: the joint test has a fifth of the level.
    adjusted = find(gateway, "tabserve_drift_check_adjusted_p_value", **ours, check="mmd")
    assert adjusted == pytest.approx(5 / 200)
    for name, limit in (("income", QUICK.min_ks), ("region", QUICK.min_cramers_v)):
        of_feature = {**ours, "feature": name}
        p_value = find(gateway, "tabserve_drift_feature_p_value", **of_feature)
        adjusted = find(gateway, "tabserve_drift_feature_adjusted_p_value", **of_feature)
        assert p_value is not None
        assert adjusted is not None
        assert p_value <= adjusted <= 1.0
        assert (adjusted <= 0.05) == (name == "income")
        assert find(gateway, "tabserve_drift_feature_effect_limit", **of_feature) == limit
    limit = find(gateway, "tabserve_drift_check_effect_limit", **ours, check="score_psi")
    assert limit == QUICK.min_psi
    assert find(gateway, "tabserve_drift_run_duration_seconds", job="tabserve_drift") == 1.5
    # An instance label on a pushed metric would make a new series for every pod.
    assert [name for name in samples(gateway) if 'instance=""' not in name] == []


def test_a_new_run_replaces_the_old_one(log: Written, gateway: str) -> None:
    """A version that is no more in the window goes away: one group a model, put as a whole."""
    log.register("v2")
    log.add(make_frame(600, seed=3), "v1")
    run(log, "run-1", pushgateway=gateway)
    log.store.drop_before(NOW.replace(year=2027))
    log.add(make_frame(600, seed=4), "v2")
    run(log, "run-2", pushgateway=gateway)
    assert find(gateway, "tabserve_drift_rows", version="v1") is None
    assert find(gateway, "tabserve_drift_rows", version="v2") == 600


def test_a_failed_run_says_so_and_keeps_the_last_success(
    log: Written, gateway: str, tmp_path: Path
) -> None:
    """The state of the run is written where there is no log to read; the last success stays."""
    log.add(make_frame(600, seed=3))
    run(log, pushgateway=gateway)
    name = "tabserve_drift_run_last_success_timestamp_seconds"
    success = find(gateway, name, job="tabserve_drift")
    assert success is not None
    assert success == pytest.approx(time.time(), abs=60)
    time.sleep(0.01)
    broken = replace(log, url=f"sqlite:///{tmp_path}/none/none.db")
    assert run(broken, pushgateway=gateway) == ["failed"]
    assert find(gateway, "tabserve_drift_run_outcome", outcome="failed") == 1
    assert find(gateway, "tabserve_drift_run_outcome", outcome="no_drift") == 0
    assert find(gateway, name, job="tabserve_drift") == success
    ended = find(gateway, "tabserve_drift_run_timestamp_seconds", job="tabserve_drift")
    assert ended is not None
    assert ended > success


def test_prometheus_has_what_was_pushed(
    log: Written, gateway: str, need: Callable[[str], None], tmp_path: Path
) -> None:
    """A real Prometheus that scrapes the gateway answers for every metric, and README's queries."""
    need("prometheus")
    records = log.add(make_frame(1_000, seed=3).assign(income=1.0))
    log.store.write_outcomes([(item.id, str(place % 2), "r") for place, item in enumerate(records)])
    run(log, pushgateway=gateway)
    url = f"http://127.0.0.1:{free_port()}"
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "scrape_configs:\n- job_name: pushgateway\n  honor_labels: true\n"
        "  scrape_interval: 1s\n  scrape_timeout: 1s\n"
        f"  static_configs: [{{targets: ['{gateway[7:]}']}}]\n"
    )
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={url[7:]}",
    ]  # fmt: skip
    with running(command, f"{url}/-/ready", tmp_path / "log"):
        query = quote('{__name__=~"tabserve_drift_.+", job="tabserve_drift"}')
        deadline = time.monotonic() + 30
        names: set[str] = set()
        while not names and time.monotonic() < deadline:
            answer = json.loads(get(f"{url}/api/v1/query?query={query}"))
            names = {item["metric"]["__name__"] for item in answer["data"]["result"]}
            time.sleep(0.2)
        answers = [json.loads(get(f"{url}/api/v1/query?query={quote(text)}")) for text in queries()]
    assert names == push.RESULTS.keys() | push.RUN.keys()
    assert [answer["status"] for answer in answers] == ["success"] * len(answers)
    assert len(answers) == 2
    assert all(answer["data"]["result"] for answer in answers)


def test_an_annotation_marks_a_change_and_nothing_else(log: Written, grafana: Annotations) -> None:
    """No drift, drift, drift, no drift: two marks, with the window, tags and a link."""
    good, bad = make_frame(600, seed=3), make_frame(600, seed=4).assign(income=1.0)
    options = {
        "grafana": grafana.url,
        "grafana_token": "hunter2",
        "report_url": "https://host/r",
        "report": Path(log.url[10:]).parent / "reports",
    }
    outcomes = []
    for number, frame in enumerate((good, bad, bad, good)):
        log.store.drop_before(NOW.replace(year=2027))
        log.add(frame)
        outcomes += run(log, f"run-{number}", **options)
    assert outcomes == ["no_drift", "drift", "drift", "no_drift"]
    assert len(grafana.received) == 2
    path, authorization, body = grafana.received[0]
    assert (path, authorization) == ("/api/annotations", "Bearer hunter2")
    mark = msgspec.json.decode(body)
    assert mark["tags"] == ["tabserve", "drift", "credit", "v1", "drift"]
    assert mark["timeEnd"] == NOW.timestamp() * 1000
    assert mark["timeEnd"] - mark["time"] == 24 * 3_600_000
    assert 'href="https://host/r/tabserve_drift-credit-v1-20261121T120000Z.html"' in mark["text"]
    assert "was no_drift" in mark["text"]


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusing_grafana_fails_nothing(
    log: Written, grafana: Annotations, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The run has its outcome, and says what was not told; the token is not in it."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    grafana.status = status
    with caplog.at_level(logging.WARNING):
        assert run(log, grafana=grafana.url, grafana_token="hunter2") == ["drift"]  # noqa: S106 - no real one
    assert f"was not annotated: HTTP {status}" in caplog.text
    assert "hunter2" not in caplog.text


def test_places_that_are_down_fail_nothing(
    log: Written, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pushgateway and Grafana away, a folder that cannot be made: said, and nothing else."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    away = f"http://127.0.0.1:{free_port()}"
    occupied = tmp_path / "file"
    occupied.write_text("")
    with caplog.at_level(logging.WARNING):
        outcomes = run(
            log, pushgateway=away, grafana=away, report=occupied / "x", json=occupied / "y"
        )
    assert outcomes == ["drift"]
    for said in (
        "the results of credit were not pushed",
        "the state of the run was not pushed",
        "was not annotated",
        "the report of credit v1 could not be written",
        "the results could not be written",
    ):
        assert said in caplog.text


def test_files_are_written(log: Written, tmp_path: Path) -> None:
    """JSON where it was asked for, and beside the reports by the job's name, the same."""
    log.add(make_frame(600, seed=3))
    run(log, report=tmp_path / "reports", json=tmp_path / "deep" / "drift.json")
    written = (tmp_path / "deep" / "drift.json").read_bytes()
    assert written == (tmp_path / "reports" / "tabserve_drift.json").read_bytes()
    (entry,) = json.loads(written)
    assert entry["outcome"] == "no_drift"
    assert len(list((tmp_path / "reports").glob("*.html"))) == 1


def test_two_jobs_share_a_folder(log: Written, tmp_path: Path) -> None:
    """Neither overwrites what the other wrote of the same window."""
    log.add(make_frame(600, seed=3))
    run(log, report=tmp_path / "r", job_name="hourly")
    run(log, report=tmp_path / "r", job_name="monthly")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        "hourly-credit-v1-20261121T120000Z.html",
        "hourly.json",
        "monthly-credit-v1-20261121T120000Z.html",
        "monthly.json",
    ]


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 ", b"\x15\x03\x01", b"HTTP/1.1 999 hunter2\r\n\r\n"],
)
def test_what_is_not_http_stops_no_other(
    log: Written, tmp_path: Path, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A port of something else: told of each in one line, and the files are there."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    with answering(answer) as url, caplog.at_level(logging.WARNING):
        assert run(log, pushgateway=url, grafana=url, report=tmp_path / "r") == ["drift"]
    said = [record.getMessage() for record in caplog.records]
    assert [message.partition(" not ")[0] for message in said] == [
        "the results of credit were",
        "the state of the run was",
        "the change of credit v1 was",
    ]
    assert "hunter2" not in caplog.text
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_a_redirect_is_a_failure(
    log: Written, grafana: Annotations, caplog: pytest.LogCaptureFixture
) -> None:
    """To a login page: Pushgateway and Grafana both say so, and the token goes nowhere else."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    grafana.status, grafana.location = 302, f"{grafana.url}/login"
    options = {"pushgateway": grafana.url, "grafana": grafana.url, "grafana_token": "hunter2"}
    with caplog.at_level(logging.WARNING):
        assert run(log, **options) == ["drift"]
    assert caplog.text.count("HTTP 302, a redirect, which is not followed") == 3
    assert "/login" not in [path for path, *_ in grafana.received]


def test_a_pushgateway_gets_its_password_as_a_header(log: Written, grafana: Annotations) -> None:
    """User and password of the URL, with what it had to escape; the stand-in takes any request."""
    log.add(make_frame(600, seed=3))
    run(log, pushgateway=grafana.url.replace("//", "//user:hunter%402@"))
    assert [path for path, *_ in grafana.received] == [
        "/metrics/job/tabserve_drift/model/credit",
        "/metrics/job/tabserve_drift",
    ]
    expected = f"Basic {b64encode(b'user:hunter@2').decode()}"
    assert {authorization for _, authorization, _ in grafana.received} == {expected}


def test_no_password_is_said(log: Written, caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody listens, and where the URL is none."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    for url in ("http://user:hunter2@127.0.0.1:1", "http://user:hunter2@127.0.0.1:1x"):
        with caplog.at_level(logging.WARNING):
            assert run(log, pushgateway=url, grafana=url) == ["drift"]
    assert caplog.text.count("not pushed") == 4
    assert "hunter2" not in caplog.text


def test_huge_values_silence_nobody(
    log: Written, grafana: Annotations, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that sends the largest numbers there are: drawn, and told as ever."""
    frame = make_frame(600, seed=3)
    frame.loc[::2, "income"], frame.loc[1::2, "income"] = 1.7e308, -1.7e308
    log.add(frame)
    with caplog.at_level(logging.WARNING):
        assert run(log, grafana=grafana.url, report=tmp_path / "r") == ["drift"]
    assert caplog.text == ""
    assert len(grafana.received) == 1
    written = sorted((tmp_path / "r").iterdir())
    assert len(written) == 2
    for path in written:
        # No number that is none, and none of more digits than a person reads.
        assert not re.search(r"\b(nan|inf|infinity)\b|\d{30}", path.read_text().lower())


def test_a_report_that_breaks_comes_last(
    log: Written, grafana: Annotations, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its folder taken, its rows of another shape: JSON and annotation are out before."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    settings = Settings(store=log.url, limits=QUICK, grafana=grafana.url, report=tmp_path / "r")
    (item,) = job.work(settings, NOW, "run-1")
    assert item.window is not None
    broken = replace(item, reference=replace(item.window, scores=item.window.features))
    with caplog.at_level(logging.WARNING):
        publish.publish([broken], settings, 1.5)
    assert "the report of credit v1 could not be written" in one_line(
        caplog.records[0].getMessage()
    )
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["tabserve_drift.json"]
    assert len(grafana.received) == 1


def test_lone_surrogates_break_no_writing(
    log: Written,
    gateway: str,
    grafana: Annotations,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A name that UTF-8 cannot hold is written as its escape, everywhere."""
    log.add(make_frame(600, seed=3).assign(income=1.0))
    options = {"pushgateway": gateway, "grafana": grafana.url, "report": tmp_path / "r"}
    settings = replace(Settings(store=log.url, limits=QUICK), **options)  # type: ignore[arg-type]  # its fields
    (item,) = job.work(settings, NOW, "run-1")
    features = [
        msgspec.structs.replace(feature, name=f"{feature.name}\ud800")
        for feature in item.entry.features
    ]
    entry = msgspec.structs.replace(
        item.entry, model="lone\udfff", reason="income\ud800\nof two lines", features=features
    )
    with caplog.at_level(logging.WARNING):
        publish.publish([replace(item, entry=entry)], settings, 1.5)
    assert caplog.text == ""
    said = one_line(capsys.readouterr().out)
    assert said.startswith("lone\\udfff v1: drift")
    assert said.endswith("income\\ud800 of two lines")
    assert find(gateway, "tabserve_drift_rows", version="v1", model="lone\\\\udfff") == 600
    written = json.loads((tmp_path / "r" / "tabserve_drift.json").read_bytes())
    assert written[0]["features"][0]["name"] == "income\\ud800"
    assert len(list((tmp_path / "r").glob("*.html"))) == 1
    assert len(grafana.received) == 1


def test_an_empty_window_leaves_what_was_told(log: Written, gateway: str) -> None:
    """What stays of a model shows its age, and the run is no success: nothing was compared."""
    log.add(make_frame(1_000, seed=3).assign(income=1.0))
    run(log, pushgateway=gateway, job_name="hourly")
    names = (
        "tabserve_drift_compared_timestamp_seconds",
        "tabserve_drift_run_last_success_timestamp_seconds",
    )
    before = [find(gateway, name, job="hourly") for name in names]
    assert before == [pytest.approx(time.time(), abs=60)] * 2
    time.sleep(0.01)
    log.store.drop_before(NOW.replace(year=2027))
    assert run(log, "run-2", pushgateway=gateway, job_name="hourly") == ["insufficient_data"]
    assert find(gateway, "tabserve_drift_outcome", job="hourly", outcome="drift") == 1
    assert [find(gateway, name, job="hourly") for name in names] == before
    ended = find(gateway, "tabserve_drift_run_timestamp_seconds", job="hourly")
    assert ended is not None
    assert before[1] is not None
    assert ended > before[1]


def test_a_version_that_was_not_compared_has_no_time_of_it(log: Written, gateway: str) -> None:
    """A version of too few rows has none, and the run is still a success for the other one."""
    log.register("v2")
    log.add(make_frame(600, seed=3), "v1")
    log.add(make_frame(100, seed=4), "v2")
    run(log, pushgateway=gateway, job_name="mixed")
    name = "tabserve_drift_compared_timestamp_seconds"
    assert find(gateway, name, job="mixed", version="v1") == pytest.approx(time.time(), abs=60)
    assert find(gateway, name, job="mixed", version="v2") is None
    success = "tabserve_drift_run_last_success_timestamp_seconds"
    assert find(gateway, success, job="mixed") == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("outcome", "versions", "is_success"),
    [
        ("drift", ("drift", "no_drift"), True),
        ("no_drift", ("no_drift",), True),
        ("drift", ("drift", "insufficient_data"), True),
        ("not_comparable", ("no_drift", "not_comparable"), True),
        ("not_comparable", ("not_comparable",), False),
        ("insufficient_data", ("insufficient_data",), False),
        ("insufficient_data", (), False),
        ("failed", ("no_drift", "failed"), False),
        ("failed", ("no_drift",), False),
    ],
)
def test_a_success_compared_a_version_and_failed_for_none(
    outcome: Outcome, versions: tuple[Outcome, ...], is_success: bool
) -> None:
    """Drift is a verdict; a version that has nothing to compare with keeps none from counting."""
    assert push.Run(outcome, versions, 1.0, 1.0).is_success is is_success


def test_the_run_is_as_bad_as_its_worst_version() -> None:
    """Failed, drift, nothing to compare with, too little data, no drift: in this order."""
    assert push.summarise(["no_drift", "drift", "failed"]) == "failed"
    assert push.summarise(["insufficient_data", "drift"]) == "drift"
    assert push.summarise(["insufficient_data", "not_comparable"]) == "not_comparable"
    assert push.summarise(["no_drift", "insufficient_data"]) == "insufficient_data"
    assert push.summarise(["no_drift"]) == "no_drift"
