"""What several tests share: a small model's contract, its reference, and a log with predictions."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from bentos.ids import floor_id
from bentos.model import contract as contracts
from bentos.model.contract import Contract, Feature
from bentos.records.opening import open_store
from bentos.records.record import Environment, Record, RecordedWarning, Registration
from bentos.records.store import Store
from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.sample import Sample
from monitoring.drift.reading import read_reference

for _name in [name for name in os.environ if name.startswith("TABSERVE_")]:
    del os.environ[_name]

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ROWS = 4_000
IMPORTANCE = {"income": 60.0, "age": 20.0, "region": 15.0, "owner": 5.0}

# As many permutations as a verdict needs, and half the rows: the tests are about meaning,
# the numbers at full size are the calibration's.
QUICK = Limits(joint_rows=1_000, permutations=199)


@pytest.fixture(scope="session")
def contract() -> Contract:
    """A binary model of four features, one of each family."""
    return Contract(
        (
            Feature("income", "float", "double"),
            Feature("age", "integer", "long"),
            Feature("region", "category", "string", categories=("north", "south", "<b>west</b>")),
            Feature("owner", "boolean", "boolean"),
        ),
        "binary",
        "booster",
        classes=(0, 1),
        threshold=0.5,
    )


def make_frame(rows: int, seed: int) -> pd.DataFrame:
    """Rows of one population, with their scores; income and age go together."""
    random = np.random.default_rng(seed)
    age = random.normal(45.0, 12.0, rows).round()
    income = np.exp(random.normal(10.0, 0.5, rows) + 0.03 * (age - 45.0))
    region = random.choice(["north", "south", "<b>west</b>"], rows, p=[0.6, 0.3, 0.1])
    owner = random.random(rows) < 0.4
    logit = (np.log(income) - 10.0) - 0.8 * owner + random.normal(0.0, 0.2, rows)
    frame = pd.DataFrame({"income": income, "age": age, "region": region, "owner": owner})
    return frame.assign(__score__=1.0 / (1.0 + np.exp(-logit)))


def to_parquet(frame: pd.DataFrame) -> bytes:
    """A frame as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def reference_bytes() -> bytes:
    """The reference as it travels with the model."""
    return to_parquet(make_frame(ROWS, seed=1))


@pytest.fixture(scope="session")
def reference(reference_bytes: bytes, contract: Contract) -> Sample:
    """The reference, read."""
    return read_reference(reference_bytes, contract)


@pytest.fixture(scope="session")
def window(contract: Contract) -> Sample:
    """Other rows of the same population: nothing drifted."""
    return read_reference(to_parquet(make_frame(2_000, seed=2)), contract)


def change(sample: Sample, **columns: Any) -> Sample:
    """The same rows with other columns."""
    return replace(sample, features=sample.features.assign(**columns))


def make_id(time: datetime, row: bytes) -> str:
    """A prediction id of that time: UUIDv7. Its random part is the row's: tests repeat alike."""
    start = floor_id(time)
    tail = sha256(row + time.isoformat().encode()).hexdigest()
    return f"{start[:14]}7{tail[:3]}-8{tail[3:6]}-{tail[6:18]}"


def to_records(
    frame: pd.DataFrame,
    *,
    version: str = "v1",
    contract: str = "",
    end: datetime = NOW,
    without: Sequence[str] = (),
) -> list[Record]:
    """Predictions of the hour before `end`, as the service records them."""
    records = []
    rows = frame.drop(columns=["__score__", *without]).to_dict("records")
    for place, (row, score) in enumerate(zip(rows, frame["__score__"], strict=True)):
        named = {
            str(name): None if isinstance(value, float) and np.isnan(value) else value
            for name, value in row.items()
        }
        time = end - timedelta(hours=1) + timedelta(seconds=3_599 * place / len(rows))
        warnings: tuple[RecordedWarning, ...] = ()
        if named.get("region") == "unseen":
            # As with `TABSERVE_UNKNOWN_CATEGORY=missing`: scored and stored as missing.
            named["region"] = None
            warnings = (RecordedWarning(f"/instances/{place}/region", "unknown_category"),)
        records.append(
            Record(
                make_id(time, version.encode() + msgspec.json.encode(named)),
                "request",
                "credit",
                version,
                contract,
                "environment",
                msgspec.Raw(msgspec.json.encode(named)),
                float(score),
                label=str(int(score >= 0.5)),
                threshold=0.5,
                warnings=warnings,
            )
        )
    return records


@dataclass(frozen=True)
class Written:
    """A log in one file. `add` writes predictions and registers their version."""

    url: str
    store: Store
    contract: Contract
    reference: bytes

    def register(
        self, version: str = "v1", contract: str | None = None, reference: bytes | None = b""
    ) -> None:
        """Register a version; an empty reference stands for the usual one."""
        self.store.register(
            Registration(
                "credit",
                version,
                self.contract.hash if contract is None else contract,
                msgspec.Raw(contracts.dump(self.contract)),
                "digest",
                metrics={"test_roc_auc": 0.75, "test_brier": 0.2},
                importance=IMPORTANCE,
                reference=self.reference if reference == b"" else reference,
            ),
            Environment("environment", msgspec.Raw(b"{}")),
        )

    def add(
        self, frame: pd.DataFrame, version: str = "v1", end: datetime = NOW, **options: object
    ) -> list[Record]:
        """Write predictions of the hour before `end`."""
        records = to_records(
            frame,
            version=version,
            contract=self.contract.hash,
            end=end,
            **options,  # type: ignore[arg-type]  # of to_records
        )
        self.store.write(records, is_retry=False)
        return records


def write_log(url: str, contract: Contract, reference: bytes) -> Written:
    """Make a log at a URL, with version v1 registered."""
    store = open_store(url)
    store.prepare()
    written = Written(url, store, contract, reference)
    written.register()
    return written


@pytest.fixture
def log(tmp_path: Path, contract: Contract, reference_bytes: bytes) -> Written:
    """A log with version v1 registered and no predictions."""
    return write_log(f"sqlite:///{tmp_path}/records.db", contract, reference_bytes)


@pytest.fixture(scope="session")
def need() -> Callable[[str], None]:
    """Skip, or under CI fail, where a program is missing."""

    def check(program: str) -> None:
        import shutil

        if shutil.which(program) is None:
            reason = f"{program} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)

    return check
