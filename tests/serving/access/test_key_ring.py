"""The keys in force, while their file is replaced by whatever comes."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import pytest

from bentos.errors import ConfigurationError
from bentos.logs import LOGGER
from bentos.serving.access import keys
from bentos.serving.access.key_ring import KeyRing
from bentos.serving.access.keys import Key, KeyLimits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def put(path: Path, *made: Key) -> None:
    """Write a keys file that only its owner may read."""
    path.write_bytes(keys.write(made))
    path.chmod(0o600)


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def lines(ring: KeyRing) -> list[str]:
    """What the ring says since the last time."""
    kept, level = Kept(), LOGGER.level
    LOGGER.addHandler(kept)
    LOGGER.setLevel(logging.INFO)
    ring.report()
    LOGGER.removeHandler(kept)
    LOGGER.setLevel(level)
    # A thread of an earlier test may write to the same logger at this moment.
    return [line for line in kept.lines if line.startswith("keys file ")]


def test_only_the_whole_key_is_found(path: Path) -> None:
    """A part, another secret, another id, and texts of any length are no key."""
    (ben, text), (ann, other) = keys.make("ben", ("predict",)), keys.make("ann", ("predict",))
    put(path, ben, ann)
    ring = KeyRing(path)
    found = ring.find(text.encode())
    assert found is not None and found.client.name == "ben"
    for wrong in (
        *("", " ", text[:-1], text + "A", text.upper(), other[:17] + text[17:]),
        *(text[:17] + other[17:], "tsk_" + "0" * 12 + text[16:], "é" * 30, "A" * 60),
        "A" * 10**6,
    ):
        assert ring.find(wrong.encode()) is None


@pytest.mark.parametrize(
    "kind", ["missing", "directory", "pipe", "device", "huge", "broken", "utf16"]
)
def test_a_file_that_cannot_be_used_changes_nothing(path: Path, kind: str) -> None:
    """The keys before stay in force, one line says so once, and a good file is taken again."""
    ben, text = keys.make("ben", ("predict",))
    put(path, ben)
    ring = KeyRing(path)
    lines(ring)
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**33)
    elif kind != "missing":
        path.write_bytes(b"{" if kind == "broken" else "{}".encode("utf-16"))
    began = perf_counter()
    for _ in range(3):
        ring.read_again()
    # A pipe without a writer would be waited for without end, a huge file read whole.
    assert perf_counter() - began < 1
    (said,) = lines(ring)
    assert "the keys before stay in force" in said and str(path) in said
    assert ring.is_stale and ring.find(text.encode()) is not None
    if kind == "directory":
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    put(path)
    ring.read_again()
    assert not ring.is_stale and ring.find(text.encode()) is None


@pytest.mark.parametrize("kind", ["directory", "pipe", "broken", "missing"])
def test_no_start_without_usable_keys(path: Path, kind: str) -> None:
    """At the start there are no keys before: the file is refused in one line."""
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "broken":
        path.write_bytes(b"{")
    with pytest.raises(ConfigurationError, match="TABSERVE_KEYS_FILE") as refusal:
        KeyRing(path)
    assert "\n" not in str(refusal.value)


def test_a_mounted_secret_is_swapped(tmp_path: Path) -> None:
    """Kubernetes swaps a link in the middle of the path: the file itself never changes."""
    (ben, first), (ann, second) = keys.make("ben", ("predict",)), keys.make("ann", ("predict",))
    for name, key in (("..1", ben), ("..2", ann)):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "keys.json", key)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.json").symlink_to("..data/keys.json")
    ring = KeyRing(tmp_path / "keys.json")
    assert ring.find(first.encode()) is not None
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    ring.read_again()
    assert ring.find(first.encode()) is None and ring.find(second.encode()) is not None


def test_a_change_within_one_tick_of_the_clock_is_seen(path: Path) -> None:
    """Equal size and equal times hide no change: the content is compared."""
    (ben, first), (ann, second) = keys.make("ben", ("predict",)), keys.make("ann", ("predict",))
    put(path, ben)
    about = path.stat()
    ring = KeyRing(path)
    put(path, ann)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    ring.read_again()
    assert ring.find(first.encode()) is None and ring.find(second.encode()) is not None


def test_a_key_keeps_its_bucket_when_another_changes(path: Path) -> None:
    """Writing the file refills no client's limits."""
    (ben, text), (ann, _) = (
        keys.make("ben", ("predict",), limits=KeyLimits(requests_per_second=0.001)),
        keys.make("ann", ("predict",)),
    )
    put(path, ben)
    ring = KeyRing(path)
    client = ring.find(text.encode())
    assert client is not None
    client.client.enter(0.0)
    put(path, ben, ann)
    ring.read_again()
    assert ring.find(text.encode()) is client


def test_expired_keys_are_counted_out(path: Path) -> None:
    """The number of keys in force falls when one expires, without a change of the file."""
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    put(path, keys.make("ben", ("predict",), soon)[0], keys.make("ann", ("predict",))[0])
    ring = KeyRing(path)
    assert len(ring) == 2
    time.sleep(0.3)
    assert len(ring) == 1


@pytest.mark.parametrize(
    ("mode", "warning"),
    [(0o600, ""), (0o400, ""), (0o644, "may read it"), (0o640, "may read it"), (0o620, "write it")],
)
def test_who_else_may_read_or_write_it_is_said(path: Path, mode: int, warning: str) -> None:
    """A file that others may read or write is used, and warned of."""
    put(path, keys.make("ben", ("predict",))[0])
    path.chmod(mode)
    said = lines(KeyRing(path))
    assert said[0].endswith("1 key in force, 0 expired")
    assert [warning in line for line in said[1:]] == ([True] if warning else [])


def test_names_beyond_a_hundred_share_a_label(path: Path) -> None:
    """A file with many clients, or files one after another, add no series without bound."""
    made = [keys.make(f"client-{number}", ("predict",)) for number in range(150)]
    put(path, *(key for key, _ in made))
    ring = KeyRing(path)
    labels = {client.client.label for _, text in made if (client := ring.find(text.encode()))}
    assert len(labels) == 101 and "other" in labels


def test_the_first_client_to_lose_its_last_key(path: Path) -> None:
    """An old key of a client with a newer one does not count, nor one that has expired."""
    now = datetime.now(UTC).replace(microsecond=0)

    def made(name: str, days: int | None) -> Key:
        expires = None if days is None else now + timedelta(days=days)
        return keys.make(name, ("predict",), expires)[0]

    put(path, made("rotated", 1), made("rotated", None), made("gone", -1))
    ring = KeyRing(path)
    assert ring.next_expiry == 0
    put(path, made("rotated", 1), made("rotated", 90), made("gone", -1), made("last", 30))
    ring.read_again()
    assert ring.next_expiry == (now + timedelta(days=30)).timestamp()
