"""Every command does the same on every store."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from bentos.model.loading import LoadedModel
from bentos.records.opening import open_store
from bentos.records.record import Record, decode_lines
from bentos.records.subject import read_keys
from bentos.records.writer import environment
from bentos.serving.registration import register
from tests.audit.logged import KEYS, NOW, answer, run, succeed

Rows = list[dict[str, object]]

SUBJECT = "somebody"


@pytest.fixture(params=["sqlite", "postgresql", "parquet"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty log of each kind, as the setting names it."""
    if request.param == "postgresql":
        named = request.getfixturevalue("server").make_database()
    else:
        named = f"{'sqlite:///' if request.param == 'sqlite' else 'parquet:'}{tmp_path}/log"
    monkeypatch.setenv("TABSERVE_STORE_URL", named)
    return str(named)


def test_every_command(
    url: str, served: dict[str, LoadedModel], rows: Rows, tmp_path: Path
) -> None:
    """Migrated, filled, read, judged, replayed, exported, forgotten and pruned."""
    assert succeed("migrate") == "the log's schema is up to date\n"
    records = fill(url, served["binary"], rows)

    assert decode_lines(succeed("records", "--since", "1h").encode()) == records[10:]
    for kind in ("csv", "parquet"):
        path = tmp_path / f"out.{kind}"
        result = run("records", "--outcomes", "--format", kind, "--output", str(path))
        assert result.stderr == f"610 records in out.{kind}\n"

    (judged,) = json.loads(succeed("performance", "--json"))["versions"]
    assert (judged["rows"], judged["labelled"]) == (600, 300)
    assert judged["measured"]["accuracy"]["value"] == 1.0

    assert "610 equal to the last bit" in succeed("replay", "--since", "30d")
    tag = f"{served['binary'].stored.name}:{served['binary'].stored.version}"
    shift = json.loads(succeed("replay", "--model", tag, "--segment", "colour", "--json"))
    assert shift["outputs"]["score"]["largest_change"] == 0.0

    (mine, *_) = json.loads(succeed("export", "--subject", SUBJECT))["predictions"]
    assert mine["reasons"]["available"] is True
    assert mine["outcomes"][0]["outcome"] == records[10].label

    assert "600 predictions" in succeed("forget", "--subject", SUBJECT)
    assert len(succeed("records").splitlines()) == 10
    assert json.loads(succeed("export", "--subject", SUBJECT))["predictions"] == []

    dry = succeed("retention", "--keep", "7d", "--dry-run")
    assert "10 predictions" in dry
    assert succeed("retention", "--keep", "7d").startswith("dropped what is before")
    assert succeed("records") == ""
    store = open_store(url)
    assert [event.action for event in store.events()] == ["export", "forget", "export", "retention"]
    store.close()


def test_no_command_but_migrate_makes_a_log(url: str, tmp_path: Path) -> None:
    """Where there is no log each command says so in one line, and proves nothing of it."""
    commands = (
        ("records",),
        ("performance",),
        ("replay", "--since", "1h"),
        ("export", "--subject", SUBJECT),
        ("forget", "--subject", SUBJECT),
        ("retention", "--keep", "7d"),
    )
    for command in commands:
        result = run(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: there is no log ")
        assert result.stderr.count("\n") == 1
        assert url.rpartition("/")[0] not in result.stderr
    assert list(tmp_path.iterdir()) == []
    succeed("migrate")
    assert succeed("records") == ""


def fill(url: str, served: LoadedModel, rows: Rows) -> list[Record]:
    """Ten old records of nobody, 600 of now of a person; half of these with an outcome."""
    keys = read_keys(KEYS)
    assert keys is not None
    records = [
        *answer(served, rows[:10], start=NOW - timedelta(days=20)),
        *answer(served, rows, subject=keys.token(SUBJECT)),
    ]
    store = open_store(url)
    store.prepare()
    store.register(register(served.stored), environment.describe(served.engine.name))
    store.write(records, is_retry=False)
    store.write_outcomes([(one.id, one.label or "", "feedback") for one in records[10:310]])
    store.close()
    return records


def test_disk_is_full(url: str, served: dict[str, LoadedModel], rows: Rows) -> None:
    """A command that ends in the middle of its streams says why, and leaves nothing open."""
    fill(url, served["binary"], rows)
    device = Path("/dev/full")
    result = run("records", "--outcomes", "--output", str(device))
    assert result.exit_code == 1
    assert result.stderr == "Error: full cannot be written: No space left on device\n"
    assert device.is_char_device()
