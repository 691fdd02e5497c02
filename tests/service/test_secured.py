"""A real server with everything on: TLS, keys, two workers, metrics on a port of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.access_keys import Keys
from tests.service.certificate import make_certificate
from tests.service.checks import series_of, total_of, value_of
from tests.service.driver import serving
from tests.service.process import PATIENCE_SECONDS, free_port

ORIGIN = "https://app.example"


class Secured:
    """A running `tabserve serve`: what a client has to know of it."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.keys = Keys(folder / "keys.json")
        self.keys.add("scorer", "predict")
        self.keys.add("gone", "predict")
        certificate, key = make_certificate(folder)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self.metrics = f"http://127.0.0.1:{(port := free_port())}"
        self.log = folder / "log.txt"
        command = [sys.executable, "-m", "bentos.cli", "serve", tag, "--port", "0"]
        command += ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", "2"],
                cwd=folder,
                env={
                    **os.environ,
                    # Relative: the service itself runs in another folder.
                    "TABSERVE_KEYS_FILE": "keys.json",
                    "TABSERVE_REQUIRE_KEYS": "true",
                    "TABSERVE_METRICS_PORT": str(port),
                },
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        ready = next((line for line in lines if line.startswith("ready after")), "")
        assert ready, self.log.read_text()
        self.address = ready.split()[4]

    def client(self) -> httpx.Client:
        """A client on a connection of its own: one of the two workers."""
        return httpx.Client(base_url=self.address, verify=self.trust, timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def secured(
    imported: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    """`tabserve serve` with two workers, a certificate and a keys file."""
    folder = tmp_path_factory.mktemp("secured")
    started = Secured.__new__(Secured)
    try:
        Secured.__init__(started, folder, imported["binary"])
        yield started
    finally:
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(PATIENCE_SECONDS) == 0
        if started.process.stdout is not None:
            started.process.stdout.close()


def ask(secured: Secured, name: str, row: Any) -> int:
    """The status of a row, with a key, on a new connection."""
    with secured.client() as client:
        return client.post("/v1/predict", json=row, headers=secured.keys.headers(name)).status_code


def test_https_with_a_key(secured: Secured, row: Any) -> None:
    """A client that trusts the certificate gets scores; no other client gets anything."""
    assert secured.address.startswith("https://")
    assert ask(secured, "scorer", row) == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(secured.address + "/readyz")
    with pytest.raises(httpx.HTTPError):
        httpx.get(secured.address.replace("https", "http") + "/readyz")
    with secured.client() as client:
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/predict", json=row).status_code == 401
        with client.stream("GET", "/readyz") as answer:
            stream = answer.extensions["network_stream"]
            assert stream.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")


def test_old_tls_is_refused(secured: Secured) -> None:
    """TLS 1.1 and older are not spoken."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    port = int(secured.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(OSError):
        old.wrap_socket(plain).close()


def test_metrics_are_on_their_own_port(secured: Secured, row: Any) -> None:
    """Without a key and without TLS, of both workers; the port of clients has none."""
    assert ask(secured, "scorer", row) == 200
    with secured.client() as client:
        assert client.get("/metrics", headers=secured.keys.headers("scorer")).status_code == 404
    for _ in range(8):
        # A connection each: the kernel chooses the worker.
        series = series_of(httpx.get(f"{secured.metrics}/metrics").content)
        assert total_of(series, "tabserve_workers_expected") == 2
        assert value_of(series, "tabserve_access_open") == 0
        assert value_of(series, "tabserve_access_keys") >= 1
    for path in ("/", "/v1/model", "/v1/predict", "/docs.json"):
        assert httpx.get(secured.metrics + path).status_code == 404
    assert httpx.post(f"{secured.metrics}/v1/predict", json=row).status_code == 404
    assert httpx.head(f"{secured.metrics}/metrics").status_code == 200


def test_a_revoked_key_is_refused_by_every_worker(secured: Secured, row: Any) -> None:
    """Two seconds after the file has changed, no worker takes the key any more."""
    assert {ask(secured, "gone", row) for _ in range(10)} == {200}
    secured.keys.revoke("gone")
    time.sleep(2)
    assert {ask(secured, "gone", row) for _ in range(10)} == {401}
    assert {ask(secured, "scorer", row) for _ in range(4)} == {200}


def test_hostile_heads_over_tls(secured: Secured, row: Any) -> None:
    """Two headers, a megabyte of one, bytes that are no text: refused, and the next is served."""
    good = secured.keys.headers("scorer")["Authorization"]
    port = int(secured.address.rpartition(":")[2])
    body = json.dumps(row).encode()

    def send(*lines: bytes) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as plain,
            secured.trust.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            start = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            end = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            wrapped.sendall(start + b"".join(line + b"\r\n" for line in lines) + end + body)
            received = b""
            try:
                while part := wrapped.recv(65536):
                    received += part
            except ssl.SSLEOFError:
                pass
            return received.partition(b"\r\n")[0]

    whole = b"Authorization: " + good.encode()
    assert b" 200 " in send(whole)
    assert b" 400 " in send(whole, b"Authorization: Bearer x")
    assert b" 400 " in send(b"authorization: Bearer x", whole)
    assert b" 400 " in send(whole, b"X-API-Key: x")
    assert b" 401 " in send(b"Authorization: Bearer \xff\xfe\xc3")
    assert b" 401 " in send(b"Authorization:")
    assert b" 200 " not in send(b"Authorization : " + good.encode())
    assert b" 200 " not in send(b"Authorization: Bearer x\r\n " + good.encode())
    assert b" 200 " not in send(b"Authorization: Bearer " + b"A" * 2**20)
    assert b" 200 " in send(whole)


def test_no_key_is_in_the_log(secured: Secured) -> None:
    """Whatever was sent above, neither a key nor a part of one is in the server's log."""
    written = secured.log.read_text()
    assert '"client":"scorer"' in written
    for text in secured.keys.texts.values():
        assert text[17:] not in written and text[:17] not in written


def test_a_certificate_without_its_key_is_one_line(tmp_path: Path) -> None:
    """Wrong files are refused before anything starts."""
    from click.testing import CliRunner

    from bentos.cli import main

    certificate, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = make_certificate(tmp_path / "other")
    broken = tmp_path / "broken.pem"
    broken.write_text("x")
    for arguments in (
        ["--ssl-certfile", str(certificate)],
        ["--ssl-keyfile", str(key)],
        ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(other)],
        ["--ssl-certfile", str(broken), "--ssl-keyfile", str(key)],
    ):
        from bentos.commands.foreground import check_certificate
        from bentos.errors import ConfigurationError

        given = dict(zip(arguments[::2], map(Path, arguments[1::2]), strict=True))
        with pytest.raises(ConfigurationError, match="--ssl-certfile"):
            check_certificate(given.get("--ssl-certfile"), given.get("--ssl-keyfile"))
    assert check_certificate(certificate, key) is not None
    assert CliRunner().invoke(main, ["serve", "--ssl-certfile", "nowhere"]).exit_code == 2


def test_a_port_for_metrics_that_is_taken_keeps_the_worker_from_serving(
    quick: dict[str, str],
) -> None:
    """Not ready, and why: a service whose metrics cannot be read is not watched."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        serving(quick["binary"], metrics_port=taken.getsockname()[1]) as app,
    ):
        answer = app.get("/readyz")
        assert answer.status == 503 and "TABSERVE_METRICS_PORT" in answer.json()["detail"]


def test_pages_of_listed_origins_may_ask(quick: dict[str, str], keys: Keys, row: Any) -> None:
    """A preflight needs no key; other origins get no leave, and no answer says that they may."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    with serving(quick["binary"], keys_file=keys.path, cors_origins=ORIGIN) as app:
        leave = app.request("OPTIONS", "/v1/predict", headers={**asked, "origin": ORIGIN})
        assert (leave.status, leave.body) == (200, b"")
        assert leave.headers["access-control-allow-origin"] == ORIGIN
        assert "x-api-key" in leave.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in leave.headers
        for origin in ("https://evil.example", "null", "https://app.example.evil", ORIGIN.upper()):
            refused = app.request("OPTIONS", "/v1/predict", headers={**asked, "origin": origin})
            assert refused.status == 401
            assert "access-control-allow-origin" not in refused.headers
        body = json.dumps(row).encode()
        scored = app.request(
            "POST", "/v1/predict", body, headers={**keys.headers("all"), "origin": ORIGIN}
        )
        assert scored.status == 200
        assert scored.headers["access-control-allow-origin"] == ORIGIN
        assert scored.headers["vary"] == "origin"
        # A refusal can be read by the page as well.
        unknown = app.request("POST", "/v1/predict", body, headers={"origin": ORIGIN})
        assert unknown.status == 401
        assert unknown.headers["access-control-allow-origin"] == ORIGIN


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A keys file with one key."""
    made = Keys(tmp_path / "keys.json")
    made.add("all")
    return made


def test_without_the_setting_no_page_may_ask(quick: dict[str, str], row: Any) -> None:
    """CORS is off: a preflight is a method that the route does not take."""
    with serving(quick["binary"]) as app:
        headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
        refused = app.request("OPTIONS", "/v1/predict", headers=headers)
        assert refused.status == 405
        body = json.dumps(row).encode()
        scored = app.request(
            "POST", "/v1/predict", body, headers={"content-type": "application/json", **headers}
        )
        assert scored.status == 200
        assert not any(name.startswith("access-control") for name in scored.headers)


@pytest.mark.parametrize(
    "origins", ["*", "app.example", "https://app.example/", "null", "https://A"]
)
def test_what_is_no_origin_stops_the_start(quick: dict[str, str], origins: str) -> None:
    """A star, a path or a missing scheme would never equal what a browser sends."""
    with (
        pytest.raises(SystemExit, match="TABSERVE_CORS_ORIGINS"),
        serving(quick["binary"], cors_origins=origins),
    ):
        raise AssertionError("it started")


def test_a_renewed_certificate_is_used_without_a_restart(secured: Secured, row: Any) -> None:
    """New connections get it from every worker, open ones go on; a broken key changes nothing."""
    folder = secured.log.parent
    with secured.client() as before:
        assert before.get("/readyz").status_code == 200
        make_certificate(folder)
        secured.trust = ssl.create_default_context(cafile=str(folder / "tls.crt"))
        deadline = time.monotonic() + PATIENCE_SECONDS
        good = 0
        while good < 10:
            assert time.monotonic() < deadline
            try:
                good += ask(secured, "scorer", row) == 200
            except httpx.ConnectError:
                good = 0
                time.sleep(0.2)
        assert before.get("/readyz").status_code == 200
    assert "the certificate was renewed" in secured.log.read_text()
    (folder / "tls.key").write_text("no key")
    refused = "cannot be used as they are now"
    while refused not in secured.log.read_text():
        assert time.monotonic() < deadline
        assert ask(secured, "scorer", row) == 200
        time.sleep(0.1)
    assert {ask(secured, "scorer", row) for _ in range(10)} == {200}
