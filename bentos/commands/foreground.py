"""A server in the foreground: started, watched until it is ready, stopped with its signals."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import click
from dotenv import dotenv_values

from bentos.errors import ConfigurationError
from bentos.settings import PREFIX

_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 5.0


def check_address(host: str, port: int) -> int:
    """Make sure that a server can listen; gives the port, a free one for 0.

    Raises ConfigurationError.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(f"--host: {host} is no address of this machine") from None
    with socket.socket(family, kind, protocol) as probe:
        # As uvicorn does: a connection of an earlier server that still closes is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            # A bound socket that does not listen would be let pass on Linux.
            probe.listen(1)
        except OSError as error:
            raise ConfigurationError(_refusal(error, host, port)) from None
        taken: int = probe.getsockname()[1]
        return taken


def check_certificate(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Make sure that a certificate and its key can be used; None where there is none.

    Raises ConfigurationError.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigurationError("--ssl-certfile and --ssl-keyfile go together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
    except (OSError, ValueError):
        raise ConfigurationError(
            "--ssl-certfile, --ssl-keyfile: they are no certificate and its key in PEM, without a "
            "password"
        ) from None
    return certificate.resolve(), key.resolve()


def _no_password() -> str:
    # Without this, OpenSSL would ask the terminal.
    return ""


def _refusal(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: name another with --port, or stop what uses it"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user: name one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host: {host} is no address of this machine"
    return f"port {port} of {host} cannot be opened: {error.strerror}"


class Foreground:
    """`bentoml serve` as a child process that shares this terminal."""

    def __init__(
        self,
        project: Path,
        host: str,
        port: int,
        tag: str,
        overrides: Mapping[str, str],
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._tls = tls
        self._project = project
        self._host = host
        self._port = port
        self._tag = tag
        # The child runs in the project's folder: a `.env` of this one is handed over.
        own = {
            name: value
            for name, value in dotenv_values(".env").items()
            if value is not None and name.upper().startswith(PREFIX)
        }
        self._environment = {
            **own,
            **os.environ,
            **overrides,
            # Usage statistics of BentoML stay off.
            "BENTOML_DO_NOT_TRACK": "True",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    def run(self) -> int:
        """Serve until a signal or a failure; gives the exit code."""
        command = [sys.executable, "-m", "bentoml", "serve", ".", "--host", self._host]
        command += ["--port", str(self._port)]
        if self._tls is not None:
            certificate, key = map(str, self._tls)
            command += ["--ssl-certfile", certificate, "--ssl-keyfile", key]
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - the service of this very project
            command,
            cwd=self._project,
            env=self._environment,
            # A session of its own: Ctrl-C reaches it once, as SIGTERM from here.
            start_new_session=True,
        )
        self._process = process
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        watcher = threading.Thread(target=self._watch, args=(process, began), daemon=True)
        watcher.start()
        code = process.wait()
        # A server that ends by itself has failed, whatever its exit code.
        return code if self._is_stopping else code or 1

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        if self._process is not None:
            self._process.terminate()

    def _watch(self, process: subprocess.Popen[bytes], began: float) -> None:
        shown = ""
        while process.poll() is None and not self._is_stopping:
            status, detail = self._ask()
            if status == http.HTTPStatus.OK:
                seconds = time.monotonic() - began
                click.echo(f"ready after {seconds:.1f} s: {self._address}  {self._tag}")
                return
            if detail and detail != shown:
                shown = detail
                click.echo(f"not ready yet: {detail}", err=True)
            time.sleep(_POLL_SECONDS)

    @property
    def _address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    def _connect(self, host: str) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(host, self._port, timeout=_ANSWER_SECONDS)
        # Its own server, asked by an address that the certificate need not name.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(
            host, self._port, timeout=_ANSWER_SECONDS, context=context
        )

    def _ask(self) -> tuple[int, str]:
        # A server on all addresses is asked on loopback.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        connection = self._connect(host)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()
        try:
            return answer.status, str(json.loads(body)["detail"])
        except (ValueError, KeyError, TypeError):
            return answer.status, ""
