"""`tabserve score`: files into files, the scores of requests, the same after a kill."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from pyarrow import parquet

from bentos import cli
from bentos.offline import files, planning
from tests import models
from tests.service import formats
from tests.service.checks import rows_of

ROWS = 200


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Rows that no model was trained on; one of them is wrong."""
    made = rows_of(models.training_frame(seed=23, rows=ROWS))
    made[7]["colour"] = "marker, unknown"
    return [{"customer": f'no "{place}"\n', **row} for place, row in enumerate(made)]


@pytest.fixture(scope="module")
def scores(trained: dict[str, Any]) -> NDArray[np.float64]:
    """What the binary model itself says of the rows, NaN for the wrong one."""
    said = models.scores_of(trained["binary"], models.training_frame(seed=23, rows=ROWS)).copy()
    said[7] = np.nan
    return said


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write rows as the path says."""
    if path.suffix == ".csv":
        path.write_bytes(formats.write_csv(rows))
    elif path.suffix == ".jsonl":
        features = [{name: row[name] for name in row if name != "customer"} for row in rows]
        path.write_bytes(formats.write_lines(features))
    else:
        parquet.write_table(formats.to_table(rows), path, row_group_size=30)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Read results."""
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    listed: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return listed


def score(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli.main, ["score", *map(str, arguments)])


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_scores_are_those_of_requests(
    imported: dict[str, str],
    rows: list[dict[str, Any]],
    scores: NDArray[np.float64],
    tmp_path: Path,
    ending: str,
) -> None:
    """Every format gives the model's own scores to the last bit, by number, faults in place."""
    source, target = write(rows, tmp_path / f"in{ending}"), tmp_path / f"out{ending}"
    result = score(imported["binary"], source, f"file://{target}", "--part-rows", 64)
    assert result.exit_code == 0, result.output
    assert "199 rows scored, 1 refused" in result.output
    found = read(target)
    assert [int(one["row"]) for one in found] == list(range(ROWS))
    said = [float(one.get("score") or "nan") for one in found]
    np.testing.assert_array_equal(said, scores)
    wrong = json.dumps(found[7].get("errors") or found[7].get("error"))
    assert "/7/colour" in wrong and "unknown_category" in wrong
    assert b"marker" not in target.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, target.name]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_killed_run_is_taken_up_with_the_same_result(
    imported: dict[str, str], rows: list[dict[str, Any]], tmp_path: Path, ending: str
) -> None:
    """After SIGKILL the same command scores only the rest, and its file is the same."""
    source = write(rows * 20, tmp_path / f"in{ending}")
    whole, target = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    assert score(imported["binary"], source, whole, "--part-rows", 20).exit_code == 0
    command = [sys.executable, "-m", "bentos.cli", "score", imported["binary"]]
    with subprocess.Popen(
        [*command, str(source), str(target), "--part-rows", "20"], stderr=subprocess.DEVNULL
    ) as process:
        parts = tmp_path / f"out{ending}.parts"
        while not parts.exists() or len(list(parts.glob("0*"))) < 3:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    done = [path for path in parts.glob("0*") if path.suffix != ".part"]
    times = {path.name: path.stat().st_mtime_ns for path in done}
    other = score(imported["regression"], source, target, "--part-rows", 20)
    assert other.exit_code == 1 and "is of another run" in other.output
    assert {path.name: path.stat().st_mtime_ns for path in done} == times
    again = score(imported["binary"], source, target, "--part-rows", 20)
    assert again.exit_code == 0, again.output
    assert f"{len(done)} of" in again.output
    assert target.read_bytes() == whole.read_bytes()
    assert not parts.exists()


def test_what_cannot_be_scored_is_one_line(
    imported: dict[str, str], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A file that is not there, not what its name says, or lacks a column: exit 1, one line."""
    binary = imported["binary"]
    good = write(rows, tmp_path / "in.csv")
    lacking = tmp_path / "lacking.csv"
    lacking.write_text("amount,count\n1,2\n")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 marker PAR1")
    quoted = tmp_path / "quoted.csv"
    quoted.write_bytes(good.read_bytes()[:-40] + b'"marker')
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n")
    there = write(rows, tmp_path / "there.csv")
    for source, target, words in (
        (tmp_path / "none.csv", "out.csv", "does not exist"),
        (good, "out.txt", "is named"),
        ("nosuch://x/in.csv", "out.csv", "needs a package"),
        (good, there.name, "is there already"),
        (lacking, "out1.csv", "is required"),
        (broken, "out2.csv", "not a Parquet file"),
        (quoted, "out3.csv", "not CSV"),
        (empty, "out4.csv", "has no rows"),
    ):
        result = score(binary, source, tmp_path / target)
        assert result.exit_code == 1, (source, result.output)
        assert words in result.output, result.output
        assert result.output.startswith("Error: ") and result.output.count("\n") == 1
        assert "marker" not in result.output


def test_without_ray_one_line_names_the_extra(
    imported: dict[str, str],
    rows: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`--engine ray` says what to install, before anything is written."""
    source = write(rows, tmp_path / "in.csv")
    monkeypatch.setitem(sys.modules, "ray", None)
    result = score(imported["binary"], source, tmp_path / "out.csv", "--engine", "ray")
    assert result.exit_code == 1
    assert result.output == "Error: this command needs ray: pip install 'tabserve[ray]'\n"
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("part_rows", [1, 2, 3, 100])
def test_parts_of_a_csv_begin_where_rows_do(tmp_path: Path, line_end: str, part_rows: int) -> None:
    """Quoted line breaks, blank lines and a last line without an end cut no row in two."""
    records = ["a,1", f'"b{line_end}b",2', '"c ""c"" ,\n",3', "", "d,4", "e,5"]
    path = tmp_path / "rows.csv"
    path.write_bytes(("name,x" + line_end + line_end.join(records)).encode())
    file = files.find(str(path))
    plan = planning.make(file, part_rows)
    data = path.read_bytes()
    assert plan.header == f"name,x{line_end}".encode()
    assert plan.rows == 5
    assert [part.first for part in plan.parts] == list(range(0, 5, part_rows))
    joined = b"".join(data[part.start : part.end] for part in plan.parts)
    assert plan.header + joined == data
    for part in plan.parts:
        text = data[part.start : part.end].decode()
        lines = [row for row in csv.reader(text.splitlines(keepends=True)) if row]
        assert len(lines) == part.rows


def test_memory_does_not_grow_with_the_file(
    imported: dict[str, str], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Ten times the rows take less than twice the memory above that of a small file."""
    names = ["amount", "count", "is_member", "colour", "grade", "weight"]
    lines = formats.write_csv([{name: row[name] for name in names} for row in rows])
    head, _, body = lines.partition(b"\r\n")
    peaks = []
    for times in (1, 50, 500):
        source = tmp_path / f"{times}.csv"
        source.write_bytes(head + b"\r\n" + body * times)
        code = (
            "import resource, sys; from bentos import cli\n"
            "try: cli.main(sys.argv[1:])\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        arguments = ["score", imported["binary"], str(source), str(tmp_path / f"{times}.out.csv")]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--part-rows", "4096"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        peaks.append(int(done.stdout.split()[-1]))
    small, medium, large = peaks
    assert large - small < 2 * (medium - small) + 20_000, peaks


def test_an_fsspec_url_is_read_and_written(
    imported: dict[str, str], rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """A file system of fsspec that is no disk serves as well."""
    import fsspec  # type: ignore[import-untyped]  # it publishes no types

    memory = fsspec.filesystem("memory")
    table = formats.to_table([{k: v for k, v in row.items() if k != "customer"} for row in rows])
    with memory.open("/score/in.parquet", "wb") as file:
        parquet.write_table(table, file)
    result = score(imported["binary"], "memory://score/in.parquet", "memory://score/out.parquet")
    assert result.exit_code == 0, result.output
    with memory.open("/score/out.parquet", "rb") as file:
        found = parquet.read_table(pa.BufferReader(file.read())).to_pylist()
    np.testing.assert_array_equal([one["score"] or np.nan for one in found], scores)
    assert memory.ls("/score", detail=False) == ["/score/in.parquet", "/score/out.parquet"]
