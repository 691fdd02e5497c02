"""`python -m k8s.smoke`: whether what was applied works, seen from outside, through kubectl.

Scores real rows through the Service, sends outcomes, runs the drift job once, and asks Prometheus
and Grafana for what they must have. It may be run again and again.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

NAMESPACE = "tabserve"
ROWS = 600
_DASHBOARDS = {"tabserve-service", "tabserve-model", "tabserve-drift", "tabserve-health"}
# A drift run takes half a minute; importing its libraries on a busy node, another.
_JOB_SECONDS = 420
# Two scrapes and two evaluations of the rules.
_SCRAPE_SECONDS = 90


def kubectl(*arguments: str) -> str:
    """Run kubectl in the namespace. Raises SystemExit with its last line if it fails."""
    done = subprocess.run(  # noqa: S603 - our own words
        ["kubectl", "--namespace", NAMESPACE, *arguments],  # noqa: S607 - the user's kubectl
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise SystemExit(f"kubectl {arguments[0]}: {lines[-1]}")
    return done.stdout


@contextmanager
def forwarded(service: str, port: int) -> Iterator[str]:
    """A URL of this machine that leads to a Service."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    command = ["kubectl", "--namespace", NAMESPACE, "port-forward", f"service/{service}"]
    process = subprocess.Popen(  # noqa: S603 - our own words
        [*command, f"{own}:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", own)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{own}"
    finally:
        process.terminate()
        process.wait()


def ask(url: str, body: object = None, password: str = "") -> Any:
    """A JSON answer. Raises SystemExit with the status and the path if it is not a good one."""
    headers = {"Content-Type": "application/json"}
    if password:
        token = base64.b64encode(f"admin:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error.code} from {url.partition('/')[2]}") from None
    except OSError as error:
        raise SystemExit(f"no answer from {url}: {type(error).__name__}") from None


def say(text: str) -> None:
    """Tell what was seen."""
    print(text, flush=True)  # noqa: T201 - this command's result


def make_rows(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that the contract takes: each feature at places of its training range."""
    rows = []
    for number in range(ROWS):
        row: dict[str, Any] = {}
        for position, feature in enumerate(model["features"]):
            if feature["categories"]:
                values = feature["categories"]
                row[feature["name"]] = values[(number + position) % len(values)]
            else:
                least, most = feature["profile"]["minimum"], feature["profile"]["maximum"]
                # Multiples of the golden ratio spread evenly, and each feature its own way.
                place = (number * 0.6180339887 * (position + 1)) % 1
                row[feature["name"]] = float(round(least + (most - least) * place))
        rows.append(row)
    return rows


def check_service() -> None:
    """Scores and outcomes go through the Service."""
    with forwarded("tabserve", 3000) as url:
        model = ask(f"{url}/v1/model")
        answer = ask(f"{url}/v1/predict/batch", {"instances": make_rows(model)})
        scored = [each for each in answer["predictions"] if "score" in each or "scores" in each]
        if len(scored) != ROWS:
            raise SystemExit(f"{ROWS - len(scored)} of {ROWS} rows got no score")
        say(f"{model['name']}:{model['version']} scored {ROWS} rows")
        if "label" in scored[0]:
            outcomes = [{"id": each["id"], "outcome": each["label"]} for each in scored[:50]]
            # An outcome may overtake its prediction on the way into the log.
            time.sleep(3)
            ask(f"{url}/v1/feedback", outcomes)
            say("50 outcomes recorded")


def check_drift() -> None:
    """The drift job runs, now and not at its hour."""
    name = f"smoke-{uuid4().hex[:8]}"
    kubectl("create", "job", name, "--from=cronjob/tabserve-drift")
    until = time.monotonic() + _JOB_SECONDS
    while time.monotonic() < until:
        status = json.loads(kubectl("get", "job", name, "--output=json"))["status"]
        if status.get("succeeded"):
            lines = kubectl("logs", f"job/{name}").strip().splitlines()
            say(f"drift: {lines[-1] if lines else 'no version in the window'}")
            return
        if status.get("failed"):
            lines = kubectl("logs", f"job/{name}").strip().splitlines() or ["no line"]
            raise SystemExit(f"the drift job failed: {lines[-1]}")
        time.sleep(2)
    raise SystemExit("the drift job did not end in time")


def check_prometheus() -> None:
    """Every pod is scraped, the drift results have arrived, and no page is due."""
    queries = {
        'count(up{job="tabserve"} == 1)': "pods are scraped",
        'count(tabserve_model_info{job="tabserve"})': "pods say which model they serve",
        "count(tabserve_drift_run_last_success_timestamp_seconds)": "drift result has arrived",
    }
    with forwarded("prometheus", 9090) as url:
        until = time.monotonic() + _SCRAPE_SECONDS
        for query, meaning in queries.items():
            while not (result := _query(url, query)):
                if time.monotonic() > until:
                    raise SystemExit(f"Prometheus has no series for {query}")
                time.sleep(3)
            say(f"Prometheus: {result[0]['value'][1]} {meaning}")
        firing = _query(url, 'ALERTS{alertstate="firing", severity="page"}')
        if firing:
            names = sorted({each["metric"]["alertname"] for each in firing})
            raise SystemExit(f"pages are due: {', '.join(names)}")
        say("Prometheus: no page is due")


def _query(url: str, query: str) -> list[Any]:
    quoted = urllib.parse.quote(query)
    result: list[Any] = ask(f"{url}/api/v1/query?query={quoted}")["data"]["result"]
    return result


def check_grafana() -> None:
    """Every dashboard is provisioned."""
    secret = json.loads(kubectl("get", "secret", "grafana", "--output=json"))
    password = base64.b64decode(secret["data"]["admin-password"]).decode()
    with forwarded("grafana", 3000) as url:
        found = {each["uid"] for each in ask(f"{url}/api/search?type=dash-db", password=password)}
    if missing := _DASHBOARDS - found:
        raise SystemExit(f"Grafana has no dashboard {', '.join(sorted(missing))}")
    say(f"Grafana: {len(_DASHBOARDS)} dashboards")


def has(deployment: str) -> bool:
    """Whether the overlay brought it."""
    return bool(kubectl("get", "deployment", deployment, "--ignore-not-found", "--output=name"))


def main() -> None:
    """All checks; the first that fails ends it with one line."""
    check_service()
    check_drift()
    if has("prometheus"):
        check_prometheus()
    if has("grafana"):
        check_grafana()
    say("everything works")


if __name__ == "__main__":
    main()
