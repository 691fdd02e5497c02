"""The log of one worker is what the settings say, or the start is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from bentos.errors import ConfigurationError
from bentos.model.contract import Contract
from bentos.records.writer.log import Log, read_names
from bentos.settings import Settings
from tests.records.answers import (
    CONTRACT,
    SERVED,
    answered,
    listening,
    messages,
    read_log,
    wait_until,
)

PART = "5ec7e7"


def settings(folder: Path, **changes: object) -> Settings:
    """Settings with a data directory of their own; secrets may be given as text."""
    wanted: dict[str, object] = {"data_dir": folder, **changes}
    for name in ("store_url", "subject_keys"):
        if name in wanted:
            wanted[name] = SecretStr(str(wanted[name]))
    return Settings(**wanted)  # type: ignore[arg-type]  # each its field's type


def start(log: Log, contract: Contract = CONTRACT) -> None:
    """Start a log as a worker does."""
    log.start(SERVED.registration, contract, "accelerated")


def test_by_default_it_is_in_the_data_directory(tmp_path: Path) -> None:
    """Without a setting rows go into records.db below the data directory, by its spool."""
    log = Log(settings(tmp_path / "data"))
    assert (log.recorder, log.feedback) == (None, None)
    start(log)
    assert log.recorder is not None and log.feedback is not None
    log.recorder.add(answered(3, "somebody"))
    log.stop(30)
    found = read_log(tmp_path / "data" / "records.db")
    assert len(found) == 3
    assert {record.subject for record in found} == {None}
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"records.db", "spool"}


def test_the_settings_are_used(tmp_path: Path) -> None:
    """The store, the list, the keys and the buffer are those of the settings."""
    log = Log(
        settings(
            tmp_path,
            store_url=f"sqlite:///{tmp_path}/elsewhere/log.db",
            store_features='["colour"]',
            subject_keys=f"k1:{'ab' * 32}",
            store_buffer_rows=1024,
        )
    )
    start(log)
    assert log.recorder is not None
    log.recorder.add(answered(1025))
    log.recorder.add(answered(1, "somebody"))
    log.stop(30)
    (found,) = read_log(tmp_path / "elsewhere" / "log.db")
    assert found.values == {"colour": "green"}
    assert (found.subject_key, len(found.subject or "")) == ("k1", 64)
    assert log.recorder.counts.dropped["buffer_full"] == 1025


def test_none_keeps_no_log(tmp_path: Path) -> None:
    """TABSERVE_STORE_URL=none: there is nothing to record with, nor a file."""
    log = Log(settings(tmp_path / "data", store_url="none"))
    start(log)
    assert (log.recorder, log.feedback) == (None, None)
    log.stop(30)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"{PART}",
        f"mysql://user:{PART}@host/db",
        f"sqlite:/{PART}",
        f"sqlite://{PART}",
        "parquet:",
        "None",
        f" sqlite:///{PART}",
        f"http://{PART}",
    ],
)
def test_a_malformed_url_is_refused(tmp_path: Path, url: str) -> None:
    """A URL of no store is refused with the forms there are, and never repeated."""
    with pytest.raises(ConfigurationError) as caught:
        Log(settings(tmp_path, store_url=url))
    assert "must be sqlite:///PATH, postgresql://" in str(caught.value)
    assert PART not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_malformed_keys_and_names_are_refused(tmp_path: Path) -> None:
    """A key or a list that cannot be meant so stops the start, without its value."""
    for changes in ({"subject_keys": f"k:{PART}"}, {"store_features": f'["{PART}", 1]'}):
        with pytest.raises(ConfigurationError) as caught:
            Log(settings(tmp_path, **changes))
        assert PART not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", None),
        (" ", None),
        (",", None),
        ("a", ["a"]),
        (" a , größe m ,b,", ["a", "größe m", "b"]),
        ('["a, b", "", " c"]', ["a, b", "", " c"]),
        (' ["a"]', ["a"]),
        ("[]", []),
    ],
)
def test_names_are_read(text: str, names: list[str] | None) -> None:
    """Names come separated by commas or as a JSON array, which may hold any name, or none."""
    assert read_names(text) == names


@pytest.mark.parametrize("text", ["[", "[a]", "[1]", "[null]", '["a"', '["a"]x'])
def test_what_is_no_array_is_refused(text: str) -> None:
    """What begins like a JSON array must be one."""
    with pytest.raises(ConfigurationError, match="TABSERVE_STORE_FEATURES"):
        read_names(text)


def test_a_listed_name_of_no_feature_is_told(tmp_path: Path) -> None:
    """A listed name that the model does not have is warned of, by number alone."""
    log = Log(settings(tmp_path, store_features=f"colour,{PART},amonut"))
    with listening() as heard:
        start(log)
        log.stop(30)
    assert messages(heard) == ["2 listed features are not of this model"]


def test_a_stop_is_in_time_where_the_store_never_was(tmp_path: Path) -> None:
    """A store that cannot be reached costs a stop the time that it is given, no row's safety."""
    log = Log(settings(tmp_path, store_url="postgresql://nobody@127.0.0.1:1/none"))
    start(log)
    assert log.recorder is not None
    log.recorder.add(answered(10))
    wait_until(lambda: bool(list(tmp_path.glob("spool/*/*.rows"))))
    started = time.monotonic()
    log.stop(0.5)
    assert time.monotonic() - started < 5.0
    assert not any(log.recorder.counts.dropped.values())
    # Another start, with a store that works, has the rows.
    after = Log(settings(tmp_path))
    start(after)
    wait_until(lambda: len(read_log(tmp_path / "records.db")) == 10)
    after.stop(30)
