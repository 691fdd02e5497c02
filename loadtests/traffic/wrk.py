"""The closed-loop load generator: wrk, with a script that sends many different bodies."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("load.lua")
INSTALL = "wrk is not installed: apt-get install wrk (Debian, Ubuntu), or brew install wrk"


class GeneratorFailed(Exception):
    """wrk did not run to its end; the message is its own."""


@dataclass(frozen=True)
class Run:
    """What wrk saw. Latencies in milliseconds; wrk corrects them for coordinated omission."""

    seconds: float
    requests: int
    statuses: int
    sockets: int
    timeouts: int
    p50: float
    p95: float
    p99: float
    longest: float
    # Of wrk itself: near one core, it is wrk that was measured and not the server.
    cpu_seconds: float = 0.0

    @property
    def failures(self) -> int:
        """Answers of 400 and above, broken connections, and no answer in time."""
        return self.statuses + self.sockets + self.timeouts

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return max(0, self.requests - self.statuses) / self.seconds


def is_installed() -> bool:
    """Whether the command is there."""
    return shutil.which("wrk") is not None


def write_list(path: Path, bodies: Sequence[tuple[bytes, Mapping[str, str]]]) -> Path:
    """Write bodies of any bytes, each with its headers, for `run`; give the list of them.

    `path`: each body goes into a file whose name begins with it.
    """
    lines = []
    for place, (data, headers) in enumerate(bodies):
        file = path.with_name(f"{path.name}-{place}")
        file.write_bytes(data)
        pairs = (f"{name}: {value}" for name, value in headers.items())
        lines.append("\t".join([str(file), *pairs]))
    listing = path.with_name(f"{path.name}.list")
    listing.write_text("\n".join(lines) + "\n")
    return listing


def run(
    url: str,
    path: str,
    bodies: Path,
    *,
    connections: int,
    seconds: float,
    cores: str,
    key: str = "",
) -> Run:
    """Send `bodies` (one a line, or a list of `write_list`) to `path` in turn for some seconds.

    `key`: sent as a bearer token, if there is one. Raises GeneratorFailed.
    """
    command = [
        *("taskset", "--cpu-list", cores, "wrk", "--threads", "1"),
        *("--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"),
        *("--timeout", "10s", "--latency", "--script", str(_SCRIPT), url, "--", path, str(bodies)),
        *((key,) if key else ()),
    ]
    before = _children_cpu_seconds()
    done = subprocess.run(  # noqa: S603  # fixed parts only
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return Run(
                **json.loads(line.removeprefix("RESULT ")),
                cpu_seconds=_children_cpu_seconds() - before,
            )
    raise GeneratorFailed((done.stderr or done.stdout).strip()[-1000:])


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
