"""`retention`, `forget` and `export`: what the law asks of a log."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bentos.model.loading import LoadedModel
from bentos.records.record import Record, RegisteredReason, encode_lines
from bentos.records.subject import read_keys
from bentos.records.writer import environment
from tests.audit.logged import KEYS, NOW, answer, make_id, run, store_of, succeed, write

Rows = list[dict[str, object]]

SUBJECT = "Zoë Müller, 1970-01-01"


def tokens(subject: str = SUBJECT) -> list[str]:
    """The subject's tokens, the current key's first."""
    keys = read_keys(KEYS)
    assert keys is not None
    return keys.tokens(subject)


@pytest.fixture
def mine(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """Records of one person under two keys, among those of others."""
    new, old = tokens()
    binary = served["binary"]
    made = [
        *answer(binary, rows[:3], start=NOW - timedelta(minutes=9), subject=("new", new)),
        *answer(binary, rows[3:5], start=NOW - timedelta(minutes=8), subject=("old", old)),
    ]
    others = answer(
        binary, rows[:50], start=NOW - timedelta(minutes=7), subject=("new", tokens("other")[0])
    )
    write(log, binary, [*made, *others])
    store = store_of(log)
    store.write_outcomes([(made[0].id, "1", "a"), (made[4].id, "0", "b"), (others[0].id, "1", "c")])
    store.write_outcomes([(made[0].id, "0", "d")])
    store.close()
    return made


def events(log: Path) -> list[tuple[str, dict[str, str | int]]]:
    """What was noted in the log."""
    store = store_of(log)
    found = [(event.action, event.details) for event in store.events()]
    store.close()
    return found


# ---- retention


@pytest.fixture
def old(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """Three records of ten days ago, five of now; one outcome each."""
    binary = served["binary"]
    made = [
        *answer(binary, rows[:3], start=NOW - timedelta(days=10)),
        *answer(binary, rows[:5]),
    ]
    write(log, binary, made)
    store = store_of(log)
    store.write_outcomes([(record.id, "1", "") for record in made])
    store.close()
    return made


def test_retention(old: list[Record], log: Path) -> None:
    """Whole days before the time to keep go, with their outcomes, and that is noted."""
    day = (NOW - timedelta(days=7)).date()
    dry = succeed("retention", "--keep", "7d", "--dry-run")
    assert dry == f"would drop what is before {day} UTC: 3 predictions, 3 outcomes\n"
    assert events(log) == []
    output = succeed("retention", "--keep", "7d")
    assert output == f"dropped what is before {day} UTC: 3 predictions, 3 outcomes\n"
    assert len(succeed("records").splitlines()) == 5
    ((action, details),) = events(log)
    assert action == "retention"
    assert details == {"before": f"{day}T00:00:00.000Z", "predictions": 3, "outcomes": 3}


@pytest.mark.parametrize("keep", ["180s", "23h", "999999d", "forever"])
def test_retention_of_no_day(old: list[Record], keep: str) -> None:
    """Less than a day, or more than there are, is a slip: nothing is dropped."""
    result = run("retention", "--keep", keep)
    assert result.exit_code == 2 or result.stdout == ""
    assert len(succeed("records").splitlines()) == 8


# ---- forget


def spool(data_dir: Path, records: list[Record]) -> Path:
    """Put records in the spool of a worker."""
    folder = data_dir / "spool" / "worker"
    folder.mkdir(parents=True)
    path = folder / "000000000001.jsonl"
    path.write_bytes(encode_lines(records))
    return path


def raw(data_dir: Path) -> bytes:
    """Every byte below the data directory."""
    return b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())


def test_forget(
    mine: list[Record], log: Path, data_dir: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """All is gone under every key, from the store and the spool; others keep theirs."""
    waiting = answer(served["binary"], rows[:2], subject=("new", tokens()[0]))
    others = answer(
        served["binary"],
        rows[:1],
        start=NOW - timedelta(minutes=2),
        subject=("new", tokens("other")[0]),
    )
    path = spool(data_dir, [*waiting, *others])
    size = path.stat().st_size
    output = succeed("forget", "--subject-file", "-", text=f"{SUBJECT}\n")
    assert output.startswith(
        "erased under the keys new, old: 5 predictions, 3 outcomes, 2 spooled\n"
    )
    assert "proved:" in output
    assert "backups" in output
    assert path.stat().st_size == size
    assert len(succeed("records").splitlines()) == 50
    store = store_of(log)
    assert list(store.of_subject(tokens())) == []
    assert len(list(store.of_subject(tokens("other")))) == 50
    store.close()


def test_no_byte_is_left(mine: list[Record], log: Path, data_dir: Path) -> None:
    """Neither the person's records nor their outcomes are in the bytes of any file.

    The token itself stays where it must: in the mark that bars late rows.
    """
    # An id is stored as 16 bytes, and as text where it is the first or last of its block.
    ids = {record.id: bytes.fromhex(record.id.replace("-", "")) for record in mine}
    before = raw(data_dir)
    assert all(stored in before for stored in ids.values())
    succeed("forget", "--subject", SUBJECT)
    after = raw(data_dir)
    assert not [name for name, stored in ids.items() if name.encode() in after or stored in after]
    assert [after.count(token.encode()) for token in tokens()] == [1, 1]
    assert SUBJECT.encode() not in after
    assert SUBJECT not in json.dumps(events(log))
    assert not [token for token in tokens() if token in json.dumps(events(log))]


def test_late_rows_stay_out(mine: list[Record], log: Path) -> None:
    """What was made before the erasure and comes after it is not stored."""
    succeed("forget", "--subject", SUBJECT)
    store = store_of(log)
    store.write(mine, is_retry=True)
    assert list(store.of_subject(tokens())) == []
    store.close()


def test_forget_is_noted(mine: list[Record], log: Path) -> None:
    """The note has counts and key ids, and nothing of the person."""
    succeed("forget", "--subject", f"  {SUBJECT}\t")
    ((action, details),) = events(log)
    assert action == "forget"
    assert details == {"predictions": 5, "outcomes": 3, "spooled": 0, "keys": "new, old"}


def test_asked_for(mine: list[Record]) -> None:
    """Without an option the subject is asked for, and not shown."""
    output = succeed("forget", text=f"{SUBJECT}\n")
    assert "5 predictions" in output
    assert "Zo" not in output


def test_nobody(mine: list[Record]) -> None:
    """Who has no record is forgotten without one."""
    assert "0 predictions, 0 outcomes, 0 spooled" in succeed("forget", "--subject", "nobody")


def test_no_keys(mine: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys the commands say what they need; nothing is erased."""
    monkeypatch.delenv("TABSERVE_SUBJECT_KEYS")
    for command in ("forget", "export"):
        result = run(command, "--subject", SUBJECT)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "TABSERVE_SUBJECT_KEYS" in result.stderr
    assert len(succeed("records").splitlines()) == 55


@pytest.mark.parametrize(
    "arguments",
    [("--subject", " "), ("--subject", "a", "--subject-file", "-"), ("--subject", "\udce4")],
)
def test_no_subject(mine: list[Record], arguments: tuple[str, ...]) -> None:
    """An empty subject, two, or one that is no text are usage errors."""
    assert run("forget", *arguments, text="x").exit_code == 2


def test_subject_file_that_is_no_text(mine: list[Record], tmp_path: Path) -> None:
    """A file that is not UTF-8 is a usage error."""
    (tmp_path / "who").write_bytes(b"Zo\xeb")
    assert run("forget", "--subject-file", str(tmp_path / "who")).exit_code == 2


# ---- export


def export(*arguments: str) -> list[dict[str, Any]]:
    """The person's predictions."""
    document = json.loads(succeed("export", "--subject", SUBJECT, *arguments))
    found: list[dict[str, Any]] = document["predictions"]
    return found


def test_export(mine: list[Record], log: Path, served: dict[str, LoadedModel]) -> None:
    """Everything of the person is there, under every key, and nothing of others."""
    found = export()
    assert [one["id"] for one in found] == [record.id for record in mine]
    first, record = found[0], mine[0]
    assert first["features"] == record.values
    assert (first["score"], first["label"], first["threshold"]) == (record.score, record.label, 0.4)
    assert first["model"] == {
        "name": record.model,
        "version": record.version,
        "mlflow_run_id": served["binary"].stored.provenance.mlflow_run_id,
        "contract": record.contract,
    }
    assert [(one["outcome"], one["revision"]) for one in first["outcomes"]] == [("1", 1), ("0", 2)]
    assert events(log) == [("export", {"predictions": 5, "keys": "new, old"})]


def test_reasons_add_up(mine: list[Record]) -> None:
    """Base and contributions add up to the raw score, whose logistic is the score."""
    for one in export():
        reasons = one["reasons"]
        assert reasons["available"] is True
        assert reasons["class"] == "1"
        parts = [part["contribution"] for part in reasons["top_contributions"]]
        assert parts == sorted(parts, key=abs, reverse=True)
        total = reasons["base"] + sum(parts) + reasons["other_contributions"]
        assert total == pytest.approx(reasons["raw_score"], abs=1e-9)
        assert 1 / (1 + math.exp(-total)) == pytest.approx(one["score"], abs=1e-9)
        for part in reasons["top_contributions"]:
            assert part["value"] == one["features"][part["feature"]]


def test_reasons_that_were_given(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """The codes that went out come with the sentence registered with the model, or without one."""
    binary, who = served["binary"], ("new", tokens()[0])
    one, two, three = answer(binary, rows[:3], subject=who)
    given = msgspec.structs.replace(one, reasons=("MONEY", "GONE"))
    write(log, binary, [given, msgspec.structs.replace(two, reasons=()), three])
    store = store_of(log)
    known = store.registration(binary.stored.name, binary.stored.version)
    assert known is not None
    reason = RegisteredReason("Amount of money.", ("amount",))
    registered = msgspec.structs.replace(known, version="v2", reasons={"MONEY": reason})
    store.register(registered, environment.describe("booster"))
    other = msgspec.structs.replace(given, id=make_id(NOW, 7), version="v2")
    store.write([other], is_retry=False)
    store.close()
    found = [document["reasons_given"] for document in export()]
    bare = [{"code": "MONEY", "reason": None}, {"code": "GONE", "reason": None}]
    assert found == [bare, [], None, [{"code": "MONEY", "reason": "Amount of money."}, bare[1]]]


def test_reasons_of_several_classes(log: Path, served: dict[str, LoadedModel], rows: Rows) -> None:
    """Of several classes, the reasons are those of the class decided for."""
    multiclass = served["multiclass"]
    write(log, multiclass, answer(multiclass, rows[:4], subject=("new", tokens()[0])))
    for one in export():
        assert one["reasons"]["class"] == one["label"]
        assert one["reasons"]["raw_score"] < 0 or one["scores"][one["label"]] > 0.5


def test_no_reasons(
    log: Path, served: dict[str, LoadedModel], pipeline: LoadedModel, rows: Rows
) -> None:
    """Where reasons cannot be had, the export says why."""
    binary, who = served["binary"], ("new", tokens()[0])
    names = pipeline.contract.names
    few = [{name: rows[0][name] for name in names}]
    write(log, pipeline, answer(pipeline, few, start=NOW - timedelta(minutes=9), subject=who))
    listed = answer(
        binary, rows[:1], start=NOW - timedelta(minutes=8), subject=who, listed=["amount"]
    )
    (whole,) = answer(binary, rows[:1], start=NOW - timedelta(minutes=7), subject=who)
    other = msgspec.structs.replace(whole, score=0.123)
    write(log, binary, [*listed, other])
    (gone,) = answer(binary, rows[:1], start=NOW - timedelta(minutes=6), subject=who)
    store = store_of(log)
    store.write([msgspec.structs.replace(gone, version="v9")], is_retry=False)
    store.close()
    reasons = [one["reasons"] for one in export()]
    assert not any(reason["available"] for reason in reasons)
    assert [reason["why_not"].split(":")[0] for reason in reasons] == [
        "the model's scores are not explained",
        "not all features of this record were stored",
        "the model gives another score now; `tabserve replay` says why",
        f"the local Bento store has no model {binary.stored.name}",
    ]


def test_export_to_a_file(mine: list[Record], tmp_path: Path) -> None:
    """A file is its owner's alone; how many records it has is said."""
    result = run("export", "--subject", SUBJECT, "--output", str(tmp_path / "person.json"))
    assert (result.stdout, result.stderr) == ("", "5 predictions in person.json\n")
    assert (tmp_path / "person.json").stat().st_mode & 0o777 == 0o600


def test_export_of_nobody(mine: list[Record]) -> None:
    """Who has no record gets an empty list, and it is said."""
    result = run("export", "--subject", "nobody")
    assert json.loads(result.stdout)["predictions"] == []
    assert "the log has no record of the subject" in result.stderr


def test_export_with_records_that_wait(
    mine: list[Record], data_dir: Path, served: dict[str, LoadedModel], rows: Rows
) -> None:
    """Records in the spool are a person's, too: the export says that it lacks them."""
    spool(data_dir, answer(served["binary"], rows[:2], subject=("new", tokens()[0])))
    result = run("export", "--subject", SUBJECT)
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["predictions"]) == 5
    assert "2 of theirs waited in the spool" in result.stderr
