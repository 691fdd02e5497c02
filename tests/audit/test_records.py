"""`tabserve records`: what was logged comes back as it was."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it publishes no types
import pytest

from bentos.audit.times import iso
from bentos.model.loading import LoadedModel
from bentos.records.record import Record, RecordedWarning, decode_lines
from tests.audit.logged import NOW, answer, make_id, run, store_of, succeed, write

Rows = list[dict[str, object]]

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\r\nx",
    "'",
    "''quoted",
    'say "no", twice',
    "a,b;c",
    "",
    " ",
    "null",
    "\u2028\u2029\x85",
    "\x00nul",
    "\U0001f600 é e\u0301 \u202e",
    "'; DROP TABLE predictions; --",
]


@pytest.fixture
def binary(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """A hundred answers of the binary model, in the log."""
    records = answer(served["binary"], rows[:100])
    write(log, served["binary"], records)
    return records


def test_lines_are_the_records(binary: list[Record]) -> None:
    """Each JSON line is a record as it was written, to the last bit, with its time."""
    output = succeed("records")
    assert decode_lines(output.encode()) == binary
    first = json.loads(output.splitlines()[0])
    assert first["time"] == iso(binary[0].time)


def test_window(binary: list[Record]) -> None:
    """--since takes what is there from then on, --until what was before."""
    middle = iso(binary[40].time)
    since = decode_lines(succeed("records", "--since", middle).encode())
    until = decode_lines(succeed("records", "--until", middle).encode())
    assert (until, since) == (binary[:40], binary[40:])
    assert succeed("records", "--since", "1m") == ""
    assert succeed("records", "--until", "1h") == ""


def test_model_and_version(
    binary: list[Record], log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """--model and --version take only what that model answered."""
    others = answer(served["regression"], rows[:7], start=NOW - timedelta(minutes=20))
    write(log, served["regression"], others)
    assert len(succeed("records").splitlines()) == 107
    name, version = others[0].model, others[0].version
    assert decode_lines(succeed("records", "--model", name).encode()) == others
    assert decode_lines(succeed("records", "--version", version).encode()) == others
    assert succeed("records", "--model", "nobody") == ""


def test_versions_are_named_as_people_say_them(
    log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """v3, 3, the full name and NAME:VERSION mean one version; two versions at once are refused."""
    served_binary = served["binary"]
    (one,) = answer(served_binary, rows[:1])
    numbered = [
        msgspec.structs.replace(one, id=make_id(NOW, number), version=version)
        for number, version in enumerate(("v3-4c204e45c6e9", "v4-9d204e45c6e9"))
    ]
    write(log, served_binary, numbered)
    expected = numbered[:1]
    assert decode_lines(succeed("records", "--version", "v3-4c204e45c6e9").encode()) == expected
    for arguments in (
        ("--version", "v3"),
        ("--version", "3"),
        ("--version", "4c204e45"),
        ("--model", f"{one.model}:v3"),
    ):
        assert decode_lines(succeed("records", *arguments).encode()) == expected, arguments
    twice = run("records", "--model", f"{one.model}:v3", "--version", "4")
    assert twice.exit_code == 2
    assert "--model names a version already" in twice.stderr


def test_one(binary: list[Record]) -> None:
    """--id gives one record, and says so where there is none."""
    assert decode_lines(succeed("records", "--id", binary[3].id).encode()) == [binary[3]]
    missing = run("records", "--id", make_id(NOW, 5))
    assert (missing.exit_code, missing.stderr) == (
        1,
        "Error: the log has no prediction of this id\n",
    )


@pytest.mark.parametrize("text", [*HOSTILE, "abc", "0" * 36])
def test_hostile_ids(binary: list[Record], text: str) -> None:
    """What is no id is a usage error, whatever it is."""
    if "\x00" not in text:
        assert run("records", "--id", text).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--id", make_id(NOW), "--since", "1h"),
        ("--format", "parquet"),
        ("--since", "soon"),
        ("--format", "xml"),
    ],
)
def test_wrong_use(binary: list[Record], arguments: tuple[str, ...]) -> None:
    """What cannot be meant is exit code 2."""
    assert run("records", *arguments).exit_code == 2


# ---- CSV and Parquet


def read_csv(text: str) -> Rows:
    """Read CSV back by the documented rule: one apostrophe in front comes off."""
    return [
        {name: value[1:] if value.startswith("'") else value for name, value in row.items()}
        for row in csv.DictReader(text.splitlines(keepends=True))
    ]


def test_csv_is_exact(binary: list[Record]) -> None:
    """CSV has a column a field and a feature, and every number to the last bit."""
    rows = read_csv(succeed("records", "--format", "csv"))
    assert len(rows) == len(binary)
    for row, record in zip(rows, binary, strict=True):
        assert (row["id"], row["time"]) == (record.id, iso(record.time))
        assert float(str(row["score"])) == record.score
        values = record.values
        assert row["features.colour"] == values["colour"]
        assert row["features.is_member"] == str(values["is_member"]).lower()
        assert row["features.count"] == str(values["count"])
        assert float(str(row["features.weight"])) == values["weight"]
        amount = values["amount"]
        assert row["features.amount"] == ("" if amount is None else repr(amount))
        assert (
            msgspec.json.decode(str(row["warnings"]), type=tuple[RecordedWarning, ...])
            == record.warnings
        )


def test_parquet_is_exact(binary: list[Record], tmp_path: Path) -> None:
    """Parquet has typed columns, and every value as it was."""
    path = tmp_path / "out.parquet"
    assert succeed("records", "--format", "parquet", "--output", str(path)) == ""
    table = pq.read_table(path)
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    assert str(table.schema.field("features.grade").type) == "int64"
    for row, record in zip(table.to_pylist(), binary, strict=True):
        assert (row["id"], row["time"], row["score"]) == (record.id, record.time, record.score)
        assert {name: row[f"features.{name}"] for name in record.values} == record.values
        assert row["warnings"] == [msgspec.structs.asdict(noted) for noted in record.warnings]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_models_with_other_features(
    kind: str,
    log: Path,
    served: dict[str, LoadedModel],
    pipeline: LoadedModel,
    rows: Rows,
    tmp_path: Path,
) -> None:
    """A window of several models has the columns of all; what a model has not is empty."""
    names = pipeline.contract.names
    few = [{name: row[name] for name in names} for row in rows[:3]]
    write(log, pipeline, answer(pipeline, few))
    multiclass = answer(served["multiclass"], rows[:3], start=NOW - timedelta(minutes=5))
    write(log, served["multiclass"], multiclass)
    path = tmp_path / "out"
    succeed("records", "--format", kind, "--output", str(path))
    if kind == "csv":
        found: Rows = read_csv(path.read_text())
        assert found[0]["features.grade"] == found[0]["scores"] == ""
        assert json.loads(str(found[3]["scores"])) == multiclass[0].scores
    else:
        found = pq.read_table(path).to_pylist()
        assert found[0]["features.grade"] is None
        assert dict(found[3]["scores"]) == multiclass[0].scores  # type: ignore[call-overload]  # pairs, as Arrow gives a map
    assert len(found) == 6


@pytest.fixture
def texts(log: Path, pipeline: LoadedModel) -> list[Record]:
    """Records whose texts are hostile, in every text field a client has a hand in."""
    record = answer(pipeline, [{"weight": 1.0, "count": 1, "is_member": True, "colour": "red"}])[0]
    records = [
        msgspec.structs.replace(
            record,
            id=make_id(NOW - timedelta(minutes=1), number),
            request_id=text,
            features=msgspec.Raw(msgspec.json.encode(record.values | {"colour": text})),
        )
        for number, text in enumerate(HOSTILE)
    ]
    write(log, pipeline, records)
    return records


def test_hostile_lines(texts: list[Record]) -> None:
    """Any text comes back as it was, one line a record."""
    output = succeed("records").encode()
    assert output.count(b"\n") == len(texts)
    assert decode_lines(output) == texts


def test_hostile_csv(texts: list[Record], tmp_path: Path) -> None:
    """No cell is a formula to a spreadsheet, and every text comes back as it was."""
    path = tmp_path / "out.csv"
    succeed("records", "--format", "csv", "--output", str(path))
    text = path.read_bytes().decode()
    cells = [cell for line in csv.reader(_lines(text)) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    # csv.reader wants lines that end as they did.
    found = list(csv.DictReader(_lines(text)))
    for row, expected in zip(found, HOSTILE, strict=True):
        for column in ("request_id", "features.colour"):
            assert (row[column][1:] if row[column].startswith("'") else row[column]) == expected


def _lines(text: str) -> list[str]:
    # Only where a line feed is: str.splitlines would split at U+2028, too.
    return [line + "\n" for line in text.split("\n")[:-1]]


def test_hostile_parquet(texts: list[Record], tmp_path: Path) -> None:
    """Parquet has every text as it was."""
    path = tmp_path / "out.parquet"
    succeed("records", "--format", "parquet", "--output", str(path))
    assert pq.read_table(path)["features.colour"].to_pylist() == HOSTILE


def test_pretty_features_stay_on_a_line(
    log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Features that were kept with line breaks in them are one line all the same."""
    record = answer(served["binary"], rows[:1])[0]
    pretty = msgspec.Raw(msgspec.json.format(bytes(record.features), indent=2))
    write(log, served["binary"], [msgspec.structs.replace(record, features=pretty)])
    (line,) = succeed("records").splitlines()
    assert json.loads(line)["features"] == record.values


def test_never_registered(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Rows of a version that nobody registered are JSON lines; a table has no columns for them."""
    store = store_of(log)
    store.write(answer(served["binary"], rows[:2]), is_retry=False)
    store.close()
    assert len(succeed("records").splitlines()) == 2
    refused = run("records", "--format", "csv")
    assert refused.exit_code == 1
    assert "was never registered" in refused.stderr


def test_a_feature_beyond_the_contract(
    log: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """A stored feature without a column ends a table: nothing is left out silently."""
    record = answer(served["binary"], rows[:1])[0]
    features = msgspec.Raw(msgspec.json.encode(record.values | {"shoe_size": 42}))
    write(log, served["binary"], [msgspec.structs.replace(record, features=features)])
    refused = run("records", "--format", "csv", "--output", "out.csv")
    assert refused.exit_code == 1
    assert "--format jsonl" in refused.stderr
    assert not Path("out.csv").exists()


def test_without_pyarrow(binary: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow is not installed, the command names the extra that has it."""
    # None in sys.modules is Python's own way to say that a module cannot be imported.
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("records", "--format", "parquet", "--output", "out.parquet")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "pip install 'tabserve[parquet]'" in result.stderr


# ---- outcomes


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_outcomes(kind: str, binary: list[Record], log: Path, tmp_path: Path) -> None:
    """--outcomes puts the last outcome of each beside it."""
    store = store_of(log)
    store.write_outcomes([(binary[5].id, "0", "r1"), (binary[9].id, "1", "r2")])
    store.write_outcomes([(binary[5].id, "1", "r3")])
    store.close()
    path = tmp_path / "out"
    succeed("records", "--outcomes", "--format", kind, "--output", str(path))
    readers: dict[str, Callable[[], Rows]] = {
        "jsonl": lambda: [json.loads(line) for line in path.read_text().splitlines()],
        "csv": lambda: read_csv(path.read_text()),
        "parquet": lambda: pq.read_table(path).to_pylist(),
    }
    found = readers[kind]()
    known = {
        number: (row["outcome"], int(str(row["outcome_revision"])))
        for number, row in enumerate(found)
        if row.get("outcome")
    }
    assert known == {5: ("1", 2), 9: ("1", 1)}


def test_outcome_of_one(binary: list[Record], log: Path) -> None:
    """--id with --outcomes has it, too."""
    store = store_of(log)
    store.write_outcomes([(binary[5].id, "0", "r1")])
    store.close()
    assert json.loads(succeed("records", "--id", binary[5].id, "--outcomes"))["outcome"] == "0"


# ---- where it goes


def test_file_appears_whole(binary: list[Record], tmp_path: Path) -> None:
    """A file is its owner's alone, and what fails leaves the one before and no part."""
    path = tmp_path / "out.jsonl"
    succeed("records", "--output", str(path))
    assert decode_lines(path.read_bytes()) == binary
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("records", "--id", make_id(NOW), "--output", str(path)).exit_code == 1
    assert decode_lines(path.read_bytes()) == binary
    assert sorted(tmp_path.glob(".out*")) == []
    nowhere = run("records", "--output", str(tmp_path / "no" / "where"))
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (1, 1)


def test_broken_pipe_is_quiet(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """A reader that has seen enough ends the command without a word."""
    for part in range(10):
        records = answer(served["binary"], rows, start=NOW - timedelta(minutes=20 + part))
        write(log, served["binary"], records)
    command = f"{sys.executable} -m bentos.cli records --store sqlite:///{log} | head -n 1"
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(  # noqa: S602 - a pipe is what is tested
        command,
        shell=True,
        capture_output=True,
        text=True,
        cwd=root,
        check=True,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_window_that_ends_before_it_begins(log: Path) -> None:
    """A window the wrong way round is refused in one line: it could only be empty."""
    succeed("migrate")
    for command in ("records", "performance", "replay"):
        result = run(command, "--since", "1m", "--until", "5m")
        assert result.exit_code == 2
        assert result.stderr.endswith("before it begins: --since must be before --until\n")
        assert result.stdout == ""


def test_a_window_without_records(log: Path) -> None:
    """An empty log and a misspelt model are told on standard error, and are no failure."""
    succeed("migrate")
    for more in ((), ("--model", "misspelt"), ("--since", "1h", "--format", "csv")):
        result = run("records", *more)
        assert (result.exit_code, result.stderr) == (0, "no record in this window\n")


# ---- the log


def test_no_log(data_dir: Path) -> None:
    """Where no log is, a reader says so and makes none."""
    result = run("records")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no log at records.db")
    assert not data_dir.exists()


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With logging off the command says how to name a log."""
    monkeypatch.setenv("TABSERVE_STORE_URL", "none")
    result = run("records")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--store" in result.stderr


def test_what_is_no_log(tmp_path: Path) -> None:
    """A file that is no database, and a URL of no store, are one line."""
    (tmp_path / "other").write_bytes(b"not a database" * 100)
    for url in (f"sqlite:///{tmp_path / 'other'}", "mysql://secret:word@host/db"):
        result = run("records", "--store", url)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "word" not in result.stderr


def test_option_goes_before_the_setting(
    binary: list[Record], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--store is used whatever the setting says."""
    monkeypatch.setenv("TABSERVE_STORE_URL", "none")
    assert len(succeed("records", "--store", f"sqlite:///{log}").splitlines()) == 100
