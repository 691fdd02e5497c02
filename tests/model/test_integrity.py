"""What was imported is what is served."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from bentos.errors import IntegrityError
from bentos.model.integrity import check_files, digest_files, digest_of, find_writers, read_file


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


def test_links(folder: Path) -> None:
    """A link in the store is refused: what it leads to may be another's."""
    (folder / "d.txt").symlink_to(folder / "a.txt")
    with pytest.raises(IntegrityError, match=r"^d\.txt is no plain file"):
        digest_files(folder)


def test_read_what_was_checked(folder: Path) -> None:
    """A file is read and checked at once; one that differs, is gone or was never there is named."""
    recorded = digest_files(folder)
    assert read_file(folder, "b/c.txt", recorded) == b"c"
    with pytest.raises(IntegrityError, match=r"^the model has no new\.txt"):
        read_file(folder, "new.txt", recorded)
    (folder / "a.txt").write_bytes(b"b")
    with pytest.raises(IntegrityError, match=r"^a\.txt was changed"):
        read_file(folder, "a.txt", recorded)
    (folder / "a.txt").unlink()
    with pytest.raises(IntegrityError, match=r"^a\.txt cannot be read: No such file"):
        read_file(folder, "a.txt", recorded)


def test_writers(folder: Path) -> None:
    """Who else may change a model's files is said; this process's own group counts as itself."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert find_writers(folder) == ""
    (folder / "a.txt").chmod(0o664)
    assert find_writers(folder) == ""
    if os.geteuid() == 0:
        os.chown(folder / "a.txt", 0, 12345)
        assert find_writers(folder) == "the group 12345"
    (folder / "b").chmod(0o777)
    assert find_writers(folder) == "every user of this machine"
