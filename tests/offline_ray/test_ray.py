"""`tabserve score --engine ray`: the file of one process, byte for byte, from two nodes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

# Before Ray is imported, which reads these then.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

import ray
from ray.cluster_utils import Cluster

from tests import models
from tests.service import formats
from tests.service.checks import rows_of

RESULTS = Path(__file__).parent / "results"
ROWS = 20_000
PART_ROWS = 250
PATIENCE_SECONDS = 300
# What the tests below write down when all of them have passed.
_FACTS = 7
_SHOWN: list[str] = []


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Rows that no model was trained on; some of them are wrong."""
    made = rows_of(models.training_frame(seed=23, rows=ROWS))
    for place in range(7, ROWS, 1000):
        made[place]["colour"] = "marker, unknown"
    return made


@pytest.fixture(scope="module")
def cluster(
    imported: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two nodes of one core each, whose Bento store lacks the regression."""
    home = tmp_path_factory.mktemp("nodes") / "bentoml"
    own = os.environ["BENTOML_HOME"]
    shutil.copytree(own, home)
    shutil.rmtree(home / "models" / imported["regression"].partition(":")[0])
    os.environ["BENTOML_HOME"] = str(home)
    try:
        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=node)
        started.add_node(**node)
    finally:
        os.environ["BENTOML_HOME"] = own
    yield started
    started.shutdown()


@pytest.fixture(scope="module", autouse=True)
def result() -> Iterator[None]:
    """Write down what was shown, once everything was."""
    yield
    if len(_SHOWN) < _FACTS:
        return
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    lines = [
        f"# Scores of a Ray cluster, {today}",
        "",
        f"`make test-ray`: Ray {ray.__version__}, a cluster of two nodes with a core each on one",
        f"machine; {ROWS:,} rows in parts of {PART_ROWS}.",
        "",
        *(f"- {line}" for line in _SHOWN),
    ]
    (RESULTS / f"{today}-ray.md").write_text("\n".join(lines) + "\n")


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write rows as the path says."""
    if path.suffix == ".parquet":
        from pyarrow import parquet  # type: ignore[import-untyped]  # it publishes no types

        parquet.write_table(formats.to_table(rows), path, row_group_size=PART_ROWS)
    else:
        make = formats.write_csv if path.suffix == ".csv" else formats.write_lines
        path.write_bytes(make(rows))
    return path


def start(
    model: str, source: Path, target: Path, address: str | None, **environment: str
) -> subprocess.Popen[str]:
    """Start the command on the cluster at an address ("": its own), or in one process (None)."""
    command = [sys.executable, "-m", "bentos.cli", "score", model, source.name, str(target)]
    engine = [] if address is None else ["--engine", "ray"]
    return subprocess.Popen(
        [*command, "--part-rows", str(PART_ROWS), *engine],
        env={**os.environ, "RAY_ADDRESS": address or "", **environment},
        # Workers have another folder: a relative path must mean the same there.
        cwd=source.parent,
        stderr=subprocess.PIPE,
        text=True,
    )


def score(model: str, source: Path, target: Path, address: str | None) -> str:
    """Run the command to its good end; give what it said."""
    process = start(model, source, target, address)
    said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 0, said
    return said


def parent_of(process: int) -> int:
    """The process that started another one."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def workers() -> dict[int, int]:
    """The processes of this cluster that score a part now: the node of each, as a process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::score"):
                node = parent_of(int(folder.name))
                # A worker's own child has its name for a moment, and another cluster may be here.
                if parent_of(node) == os.getpid():
                    found[int(folder.name)] = node
        except OSError:
            continue
    return found


def done_in(target: Path) -> list[Path]:
    """The parts that are written."""
    return [one for one in Path(f"{target}.parts").glob("0*") if one.suffix != ".part"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_the_file_is_that_of_one_process(
    imported: dict[str, str],
    rows: list[dict[str, Any]],
    cluster: Cluster,
    tmp_path: Path,
    ending: str,
) -> None:
    """Both nodes score, and every byte is as one process writes it."""
    source = write(rows, tmp_path / f"in{ending}")
    whole, target = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    score(imported["binary"], source, whole, None)
    process = start(imported["binary"], source, target, cluster.address)
    nodes: set[int] = set()
    while process.poll() is None:
        nodes |= set(workers().values())
        time.sleep(0.005)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert said == f"{ROWS - ROWS // 1000:,} rows scored, {ROWS // 1000} refused\n"
    assert len(nodes) == 2
    assert target.read_bytes() == whole.read_bytes()
    assert not Path(f"{target}.parts").exists()
    _SHOWN.append(f"`{ending}`: both nodes scored, the file is byte for byte that of one process.")


def test_a_lost_worker_changes_nothing(
    imported: dict[str, str], rows: list[dict[str, Any]], cluster: Cluster, tmp_path: Path
) -> None:
    """SIGKILL of a worker in the middle of a part: another one does that part."""
    source = write(rows, tmp_path / "in.csv")
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    score(imported["binary"], source, whole, None)
    process = start(imported["binary"], source, target, cluster.address)
    while len(done_in(target)) < 5 or not (running := workers()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    os.kill(next(iter(running)), signal.SIGKILL)
    said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 0, said
    assert target.read_bytes() == whole.read_bytes()
    _SHOWN.append("A worker killed in the middle of a part: the same file.")


def test_a_killed_run_is_taken_up_by_either_engine(
    imported: dict[str, str], rows: list[dict[str, Any]], cluster: Cluster, tmp_path: Path
) -> None:
    """After SIGKILL of the command, either engine scores only the rest."""
    source = write(rows, tmp_path / "in.csv")
    whole = tmp_path / "whole.csv"
    score(imported["binary"], source, whole, None)
    for second in (cluster.address, None):
        target = tmp_path / f"out-{second is None}.csv"
        process = start(imported["binary"], source, target, cluster.address)
        while len(done_in(target)) < 5:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.001)
        process.kill()
        process.communicate()
        while workers():
            time.sleep(0.05)
        done = len(done_in(target))
        said = score(imported["binary"], source, target, second)
        assert said.startswith(f"{done} of {ROWS // PART_ROWS} parts are done\n")
        assert target.read_bytes() == whole.read_bytes()
    _SHOWN.append("The command killed, and given again to Ray or to one process: the same file.")


def test_a_failure_is_one_line_with_the_parts_number(
    imported: dict[str, str], rows: list[dict[str, Any]], cluster: Cluster, tmp_path: Path
) -> None:
    """A part that cannot be read, a model that nodes lack, a cluster that is not there."""
    source = write(rows, tmp_path / "in.csv")
    broken = tmp_path / "broken.csv"
    lines = source.read_bytes().split(b"\r\n")
    lines[1 + 3 * PART_ROWS] = b"marker \xff" + lines[1 + 3 * PART_ROWS]
    broken.write_bytes(b"\r\n".join(lines))
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unheard.getsockname()[1]}"
        for name, file, address, begin, words in (
            ("binary", broken, cluster.address, "Error: part 3: broken.csv", "UTF-8"),
            ("regression", source, cluster.address, "Error: part ", "has no model"),
            ("binary", source, nowhere, "Error: the Ray cluster of RAY_ADDRESS", "joined"),
        ):
            process = start(imported[name], file, tmp_path / f"{name}.csv", address)
            said = process.communicate(timeout=PATIENCE_SECONDS)[1]
            assert process.returncode == 1, said
            assert said.startswith(begin) and words in said, said
            assert said.count("\n") == 1 and "marker" not in said, said
            shutil.rmtree(tmp_path / f"{name}.csv.parts")
    _SHOWN.append("Failures are one line, those of a part with its number.")


def listening() -> Iterator[tuple[str, int]]:
    """What listens on TCP here: the address as the kernel writes it, and the socket's inode."""
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                yield fields[1].partition(":")[0], int(fields[9])


def sockets_of(ancestor: int) -> set[int]:
    """The inodes of the sockets of a process and all that it started."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            process = int(folder.name)
            while process > 1 and process != ancestor:
                process = parent_of(process)
            if process == ancestor:
                names = [str(one.readlink()) for one in (folder / "fd").iterdir()]
                found |= {int(name[8:-1]) for name in names if name.startswith("socket:[")}
        except OSError:
            continue
    return found


def test_without_an_address_a_cluster_is_started_for_the_run(
    imported: dict[str, str], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """It listens on the loopback interface alone, and leaves no process and no file."""
    source = write(rows, tmp_path / "in.csv")
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    score(imported["binary"], source, whole, None)
    # Ray keeps sockets there, whose paths may have some hundred characters.
    with tempfile.TemporaryDirectory(prefix="ts-") as scratch:
        process = start(imported["binary"], source, target, "", TMPDIR=scratch)
        addresses = set()
        while process.poll() is None:
            own = sockets_of(process.pid)
            addresses |= {address for address, inode in listening() if inode in own}
            time.sleep(0.1)
        said = process.communicate()[1]
        assert process.returncode == 0, said
        assert said == f"{ROWS - ROWS // 1000:,} rows scored, {ROWS // 1000} refused\n"
        assert list(Path(scratch).iterdir()) == []
    assert target.read_bytes() == whole.read_bytes()
    # 127.0.0.1, alone and as an address of version 6.
    assert addresses and addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}
    _SHOWN.append("Without an address: a cluster on the loopback interface for the run alone.")
