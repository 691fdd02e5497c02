"""Streams of rows against the service: rows a second beside in-process scoring, and memory.

`python -m loadtests.streaming --model NAME:VERSION --file ROWS.jsonl --rows 5000000`: one
server with one worker on one core, the client on another. Every score is compared with the
model's own. Needs the extra `parquet` (pyarrow), on the server too.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.machine import environment, launch, processes, store
from loadtests.traffic import rows as samples
from loadtests.traffic.rows import Sample

_PATH = "/v1/predict/batch"
_BATCH_ROWS = 8192
# One row in so many is wrong in the streams that measure memory.
_WRONG_EVERY = 1000
_MEDIA_TYPES = {
    "arrow": "application/vnd.apache.arrow.stream",
    "ndjson": "application/x-ndjson",
}


class Body:
    """The same rows over and over as one stream; `expected`: NaN for a wrong row."""

    def __init__(self, some: Sequence[Sample], kind: str, *, has_wrong: bool) -> None:
        chosen = list(islice(cycle(some), _BATCH_ROWS))
        rows = [dict(sample.row) for sample in chosen]
        expected = [sample.score for sample in chosen]
        self.expected = np.array(expected, dtype=np.float64)
        if has_wrong:
            # A category that no model knows, in the first column of texts.
            name = next(name for name, value in rows[0].items() if isinstance(value, str))
            for place in range(0, _BATCH_ROWS, _WRONG_EVERY):
                rows[place][name] = "a wrong one"
                self.expected[place] = np.nan
        self.kind = kind
        self.rows = rows
        self._head, self._batch, self._tail = _arrow(rows) if kind == "arrow" else _lines(rows)

    def pieces(self, count: int) -> Iterator[bytes]:
        """The body of `count` rows, a multiple of a batch's."""
        yield self._head
        for _ in range(count // _BATCH_ROWS):
            yield self._batch
        yield self._tail


def _lines(rows: Sequence[dict[str, Any]]) -> tuple[bytes, bytes, bytes]:
    return b"", b"".join(json.dumps(row).encode() + b"\n" for row in rows), b""


def _arrow(rows: Sequence[dict[str, Any]]) -> tuple[bytes, bytes, bytes]:
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - the rest does not need it

    table = pa.Table.from_pylist(list(rows))
    # Texts as a client with categories has them.
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            coded = table.column(place).combine_chunks().dictionary_encode()
            table = table.set_column(place, field.name, coded)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
        one = stream.stats.num_record_batches
        size = sink.tell()
        stream.write_table(table)
        after = sink.tell()
    data = sink.getvalue().to_pybytes()
    if one != 1:
        raise ValueError("the rows are not one record batch")
    # Schema, dictionaries and the first batch; a batch alone; the end.
    return data[:size], data[size:after], data[after:]


def send(port: int, body: Body, count: int) -> tuple[np.ndarray[Any, Any], float]:
    """Send `count` rows and read the answer at the same time: the scores, and the seconds."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        started = time.perf_counter()
        sender = threading.Thread(target=_send, args=(connection, body, count))
        sender.start()
        answer = connection.makefile("rb")
        status = answer.readline()
        while answer.readline().strip():
            pass
        if b" 200 " not in status:
            raise ValueError(f"answered {status!r}: {answer.read(500)!r}")
        source = _Chunks(answer)
        scores = _read_arrow(source) if body.kind == "arrow" else _read_lines(source)
        sender.join()
        return scores, time.perf_counter() - started


def _send(connection: socket.socket, body: Body, count: int) -> None:
    head = (
        f"POST {_PATH} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {_MEDIA_TYPES[body.kind]}",
        "Transfer-Encoding: chunked",
    )
    connection.sendall("\r\n".join((*head, "", "")).encode())
    # The first Arrow piece holds a batch already.
    for piece in body.pieces(count - _BATCH_ROWS if body.kind == "arrow" else count):
        if piece:
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.sendall(b"0\r\n\r\n")


class _Chunks:
    """A chunked body as a file."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = 0
        self._is_over = False

    def read(self, size: int = -1) -> bytes:
        parts = []
        while size and not self._is_over:
            if not self._left:
                line = self._file.readline()
                if not line:
                    raise ValueError("the answer does not end")
                self._left = int(line, 16)
                if not self._left:
                    self._file.readline()
                    self._is_over = True
                    break
            part = self._file.read(min(size, self._left) if size > 0 else self._left)
            self._left -= len(part)
            size -= len(part) if size > 0 else 0
            parts.append(part)
            if not self._left:
                self._file.readline()
        return b"".join(parts)

    def close(self) -> None:
        """Nothing: the socket is closed by who opened it."""


def _read_arrow(source: _Chunks) -> np.ndarray[Any, Any]:
    import pyarrow as pa  # noqa: PLC0415 - the rest does not need it

    found = []
    for batch in pa.ipc.open_stream(pa.PythonFile(source, mode="r")):
        found.append(batch.column("score").to_numpy(zero_copy_only=False))
    return np.concatenate(found)


def _read_lines(source: _Chunks) -> np.ndarray[Any, Any]:
    found: list[float] = []
    rest = b""
    while data := source.read(1 << 18):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _, mark, after = line.partition(b'"score":')
            found.append(float(after.split(b",", 1)[0].rstrip(b"}")) if mark else float("nan"))
    return np.array(found)


def measure_memory(server: processes.Server, port: int, body: Body, count: int) -> dict[str, Any]:
    """Stream `count` rows and give the largest resident size of a process of the server."""
    before = server.usage().largest_rss_bytes
    largest = [before]
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            largest.append(server.usage().largest_rss_bytes)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        scores, seconds = send(port, body, count)
    finally:
        is_over.set()
        watch.join()
    expected = np.resize(body.expected, count)
    if not np.array_equal(scores, expected, equal_nan=True):
        raise ValueError("a score differs from the model's own")
    return {
        "rows": count,
        "refused rows": int(np.isnan(expected).sum()),
        "rows/s": round(count / seconds),
        "resident before, MB": round(before / 1e6),
        "resident at most, MB": round(max(largest) / 1e6),
    }


def measure_speed(
    port: int, body: Body, model: Path, count: int, rounds: int
) -> tuple[float, float]:
    """Rows a second of the service, and of the same engine in this process, in turns."""
    contract = json.loads((model / "contract.json").read_text())
    matrix = _matrix(body.rows, contract)
    import lignum  # noqa: PLC0415 - the rest does not need it

    engine = lignum.load(str(model / "booster.txt"), format="lightgbm")
    served, scored = [], []
    for _ in range(rounds):
        scores, seconds = send(port, body, count)
        if not np.array_equal(scores, np.resize(body.expected, count)):
            raise ValueError("a score differs from the model's own")
        served.append(count / seconds)
        began = time.perf_counter()
        for _ in range(count // _BATCH_ROWS):
            engine.predict(matrix, n_jobs=1, strategy="serial")
        scored.append(count / (time.perf_counter() - began))
    return statistics.median(served), statistics.median(scored)


def _matrix(rows: Sequence[dict[str, Any]], contract: Any) -> np.ndarray[Any, Any]:
    columns = []
    for feature in contract["features"]:
        codes = {value: code for code, value in enumerate(feature.get("categories") or ())}
        values = [row[feature["name"]] for row in rows]
        columns.append([codes.get(one, one) if codes else one for one in values])
    matrix = np.array(columns, dtype=np.float64).T
    return np.ascontiguousarray(matrix)


def main() -> None:
    """Measure both, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    some = samples.read(options.file)
    model = store.find(options.model) / store.EXPORTED
    port = launch.free_port()
    with tempfile.TemporaryDirectory(prefix="tabserve-stream-") as folder:
        command = [sys.executable, "-m", "bentoml", "serve", ".", "--host", "127.0.0.1"]
        with processes.serve(
            [*command, "--port", str(port)],
            cores="0",
            log=Path(folder) / "server.log",
            environment={
                "TABSERVE_MODEL": options.model,
                "TABSERVE_STORE_URL": "none",
                "TABSERVE_ACCESS_LOG": "false",
                "TABSERVE_DATA_DIR": folder,
                "BENTOML_DO_NOT_TRACK": "True",
            },
            folder=Path(__file__).parents[1],
        ) as server:
            os.sched_setaffinity(0, {(os.cpu_count() or 1) - 1})
            server.wait_ready(f"http://127.0.0.1:{port}/readyz", 120)
            plain = Body(some, "arrow", has_wrong=False)
            send(port, plain, 4 * _BATCH_ROWS)
            served, scored = measure_speed(port, plain, model, 12 * _BATCH_ROWS, options.rounds)
            lines = [
                f"# Streams of rows, {environment.today()}",
                "",
                *(f"- {name}: {value}" for name, value in environment.describe().items()),
                f"- model: {store.version_of(options.model)}, one worker on one core, the client "
                "on another; no prediction log, no access log",
                "",
                f"Arrow stream of {12 * _BATCH_ROWS:,} rows, median of {options.rounds}: "
                f"{served:,.0f} rows/s; the same engine in a process of its own, on a matrix "
                f"that is there already: {scored:,.0f} rows/s; ratio {served / scored:.2f}.",
                "",
            ]
            count = options.rows // _BATCH_ROWS * _BATCH_ROWS
            for kind in ("arrow", "ndjson"):
                found = measure_memory(server, port, Body(some, kind, has_wrong=True), count)
                lines.append(f"- {kind}: {', '.join(f'{v:,} {k}' for k, v in found.items())}")
                sys.stdout.write(lines[-1] + "\n")
    report = "\n".join(lines) + "\n"
    sys.stdout.write(report)
    if options.output is not None:
        options.output.write_text(report)


if __name__ == "__main__":
    main()
