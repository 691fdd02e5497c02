"""What was imported is what is served."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from bentos.errors import IntegrityError
from bentos.model.integrity import check_files, digest_files, digest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one of them in a folder."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"c")
    (tmp_path / "a.txt").write_bytes(b"a")
    return tmp_path


def test_digests(folder: Path) -> None:
    """Every file has its SHA-256, by its path from the folder."""
    assert digest_files(folder) == {
        "a.txt": hashlib.sha256(b"a").hexdigest(),
        "b/c.txt": hashlib.sha256(b"c").hexdigest(),
    }


def test_one_digest(folder: Path) -> None:
    """The digest of a folder is that of `sha256sum`'s lines, so that anyone can check it."""
    # Fixed arguments.
    lines = subprocess.run(
        ["sha256sum", "a.txt", "b/c.txt"],
        cwd=folder,
        capture_output=True,
        check=True,
    ).stdout
    files = digest_files(folder)
    assert digest_of(files) == hashlib.sha256(lines).hexdigest()
    assert digest_of(dict(reversed(files.items()))) == digest_of(files)


def test_same(folder: Path) -> None:
    """A folder as recorded passes."""
    check_files(folder, digest_files(folder))


def test_changed(folder: Path) -> None:
    """A file with another byte is named."""
    recorded = digest_files(folder)
    (folder / "b" / "c.txt").write_bytes(b"d")
    with pytest.raises(IntegrityError, match=r"^b/c\.txt was changed after"):
        check_files(folder, recorded)


def test_gone_and_appeared(folder: Path) -> None:
    """A file that is gone, or that was not imported, is named."""
    recorded = digest_files(folder)
    (folder / "new.txt").touch()
    with pytest.raises(IntegrityError, match=r"^new\.txt was added after"):
        check_files(folder, recorded)
    (folder / "a.txt").unlink()
    with pytest.raises(IntegrityError, match=r"^a\.txt was removed after"):
        check_files(folder, recorded)
