"""Records as the service makes them: real models' answers, in a real log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bentoml
import msgspec
import pandas as pd
from click.testing import CliRunner, Result

from bentos import settings
from bentos.cli import main
from bentos.ids import floor_id
from bentos.model.loading import LoadedModel
from bentos.model.store import open_model
from bentos.records.record import Record, RecordedWarning
from bentos.records.sqlite.store import SqliteStore
from bentos.records.writer import environment
from bentos.serving.registration import register
from bentos.settings import Settings
from tests.records.answers import stored_features

NOW = datetime.now(UTC).replace(microsecond=0)
KEYS = f"new:{'11' * 32},old:{'22' * 32}"


def run(*arguments: str, text: str | None = None) -> Result:
    """Run a command of tabserve."""
    return CliRunner().invoke(main, arguments, input=text)


def succeed(*arguments: str, text: str | None = None) -> str:
    """Run a command that must succeed; gives what it wrote to standard output."""
    result = run(*arguments, text=text)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*arguments: str) -> str:
    """Run a command that must say no; gives what it wrote to standard output."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    return result.stdout


def make_id(time: datetime, number: int = 0) -> str:
    """A UUIDv7 of a time; a number tells those of one millisecond apart, in order."""
    return f"{floor_id(time)[:13]}-7000-8000-{number:012x}"


def open_served(tag: str, chosen: Settings | None = None) -> LoadedModel:
    """A model of the test store as a worker serves it."""
    return LoadedModel(open_model(bentoml.models.get(tag)), chosen or settings.read())


def values_of(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a frame as clients send them."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def answer(
    served: LoadedModel,
    rows: Sequence[dict[str, object]],
    *,
    start: datetime = NOW - timedelta(minutes=30),
    subject: tuple[str, str] | None = None,
    listed: Sequence[str] | None = None,
) -> list[Record]:
    """Score rows and make their records, a millisecond apart; `subject`: key id and token."""
    encoded = []
    for row in rows:
        one, faults = served.reader.validate(row)
        assert one is not None, faults
        encoded.append(one)
    contract = served.contract
    features = stored_features(contract, encoded, listed)
    key_id, token = subject or (None, None)
    return [
        Record(
            id=make_id(start + timedelta(milliseconds=number), number),
            request_id=f"request-{number}",
            model=served.stored.name,
            version=served.stored.version,
            contract=contract.hash,
            environment=environment.describe(served.engine.name).id,
            features=msgspec.Raw(features[number]),
            score=scored.score,
            scores=None
            if scored.scores is None
            else dict(zip(map(str, contract.classes or ()), scored.scores, strict=True)),
            label=None if scored.label is None else str(scored.label),
            threshold=contract.threshold,
            subject=token,
            subject_key=key_id,
            decode_us=number,
            warnings=tuple(
                RecordedWarning(warned.pointer, warned.code) for warned in scored.warnings
            ),
        )
        for number, scored in enumerate(served.scorer.score(encoded).scored)
    ]


def store_of(path: Path) -> SqliteStore:
    """The log in a file, ready."""
    store = SqliteStore(path)
    store.prepare()
    return store


def write(path: Path, served: LoadedModel, records: Sequence[Record]) -> None:
    """Put records of a model in the log of a file, and register the model."""
    store = store_of(path)
    store.register(register(served.stored), environment.describe(served.engine.name))
    store.write(records, is_retry=False)
    store.close()
