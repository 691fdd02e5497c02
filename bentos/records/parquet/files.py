"""Files of the log, in a local folder or anywhere fsspec reaches: whole, or not there at all.

A local file is written under another name, brought to the disk and renamed. An object
store shows an object when all of it is there; any other remote is written as a local one.
This module handles places and failures, not what is in the files. Every failure becomes a
StoreDown that says the kind of failure, and neither path nor URL: they may hold secrets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it publishes no types
import pyarrow as pa  # type: ignore[import-untyped]  # the same
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]  # the same
from fsspec.registry import known_implementations  # type: ignore[import-untyped]  # the same

from bentos.errors import ConfigurationError, StoreDown, TabserveError
from bentos.ids import new_id

# There as soon as the log is prepared: it distinguishes an empty log from a missing one.
SCHEMA = "schema.json"

# Where one PUT is seen whole or not at all. Object stores as fsspec names them, and memory.
_WHOLE_PUTS = frozenset(
    ("abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oci", "oss", "r2", "s3", "s3a", "tos")
)

# A local file up to this size is read at once: a folder may have thousands of small files,
# more than a process may hold open.
_AT_ONCE_BYTES = 1 << 20

# The owner's alone: the files have what people sent.
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700

_UNFINISHED = ".part"

# More erasures than that do not begin within one write of a file.
_TRIES = 5


class Files:
    """The files under one location. Paths are relative to it, with slashes."""

    def __init__(self, location: str) -> None:
        self._location = location
        for part in location.split("::"):
            protocol = part.partition("://")[0] if "://" in part else "file"
            try:
                fsspec.get_filesystem_class(protocol)
            except (ImportError, ValueError):
                # A name that fsspec does not know may be anything, a password too.
                name = f"{protocol}://" if protocol in known_implementations else "this"
                raise ConfigurationError(
                    f"parquet:URL: fsspec cannot open {name} here; "
                    "drivers are s3fs for s3, gcsfs for gs, adlfs for abfs"
                ) from None
        self._system: Any = None
        self._root = ""
        self._made: set[str] = set()

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        with self.working() as system:
            system.invalidate_cache()
            return bool(system.exists(self._at(path)))

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is none.

        Raises StoreDown where the whole log is missing: nothing there is not no rows.
        """
        with self.working() as system:
            # Other processes write here too.
            system.invalidate_cache()
            try:
                found = system.ls(self._at(folder), detail=False)
            except FileNotFoundError:
                found = None
        if found is None:
            self.check_there()
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def read(self, path: str, last_bytes: int | None = None) -> bytes | None:
        """A file's content, or the end of it; None where there is no such file."""
        with self.working() as system:
            self._check_regular(path)
            try:
                start = last_bytes and max(0, system.size(self._at(path)) - last_bytes)
                content: bytes = system.cat_file(self._at(path), start=start)
                return content
            except FileNotFoundError:
                pass
        self.check_there()
        return None

    def open(self, path: str) -> pa.NativeFile | None:
        """A file to read here and there; None where there is no such file.

        What is replaced meanwhile is read as it was. A remote file is fetched at once: a
        write's file is some megabytes, and one request cannot see half of a replacement.
        """
        with self.working():
            self._check_regular(path)
            if self._is_local:
                try:
                    file = pa.OSFile(self._at(path))
                except FileNotFoundError:
                    file = None
                if file is not None and file.size() > _AT_ONCE_BYTES:
                    return file
                if file is not None:
                    with file:
                        return pa.BufferReader(file.read_buffer())
        content = self.read(path)
        return None if content is None else pa.BufferReader(content)

    def write(self, path: str, content: bytes | pa.Buffer) -> None:
        """Write a file or replace it."""
        with self.working() as system:
            for tries_left in reversed(range(_TRIES)):
                try:
                    self._put(system, path, content)
                    return
                except FileNotFoundError:
                    # An erasure removed what was not finished, or the folder is gone.
                    if not tries_left:
                        raise

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        with self.working() as system, suppress(FileNotFoundError):
            system.rm_file(self._at(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder and all that is in it, if it is there."""
        with self.working() as system, suppress(FileNotFoundError):
            system.rm(self._at(path), recursive=True)
        self._made.discard(path)

    def remove_unfinished(self, folder: str) -> None:
        """Remove what a process that died was writing, and what one is writing now.

        The latter begins again.
        """
        with self.working():
            if self._is_whole:
                return
        for name in self.names(folder):
            if name.endswith(_UNFINISHED):
                self.remove(f"{folder}/{name}")

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, unless they are there."""
        with self.working() as system:
            if self._is_local:
                Path(self._at(path)).mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
            else:
                system.makedirs(self._at(path), exist_ok=True)

    def check_there(self) -> None:
        """Raise StoreDown where no log was prepared, or the disk that has it is gone."""
        if not self.exists(SCHEMA):
            raise StoreDown("there is no log in the folder: it is gone, or was never prepared")

    @contextmanager
    def working(self) -> Iterator[Any]:
        """Connect if need be, and turn what fails inside into StoreDown."""
        try:
            if self._system is None:
                self._connect()
            yield self._system
        except TabserveError:
            raise
        except Exception as error:
            # Drivers raise errors of any class; the next call connects anew.
            self._system = None
            self._made.clear()
            raise StoreDown(f"the log's files cannot be used: {_explain(error)}") from None

    def _connect(self) -> None:
        # An own instance: one that fsspec shares may hold the connection that was lost.
        system, root = fsspec.core.url_to_fs(self._location, skip_instance_cache=True)
        protocols = {system.protocol} if isinstance(system.protocol, str) else {*system.protocol}
        self._root = root.rstrip("/")
        self._is_local = isinstance(system, LocalFileSystem)
        self._is_whole = bool(protocols & _WHOLE_PUTS)
        self._system = system

    def _check_regular(self, path: str) -> None:
        # Opening a pipe would wait for a writer, and a device may never end.
        if self._is_local:
            place = Path(self._at(path))
            if place.exists() and not place.is_file():
                raise StoreDown(f"there is no regular file at {path} in the log")

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _put(self, system: Any, path: str, content: bytes | pa.Buffer) -> None:
        if self._is_local:
            _write_local(Path(self._at(path)), content)
            return
        folder = path.rpartition("/")[0]
        if folder not in self._made:
            system.makedirs(self._at(folder), exist_ok=True)
            self._made.add(folder)
        if self._is_whole:
            system.pipe_file(self._at(path), bytes(content))
            return
        unfinished = self._at(f"{folder}/{_unfinished(path)}")
        try:
            system.pipe_file(unfinished, bytes(content))
            system.mv(unfinished, self._at(path))
        except BaseException:
            with suppress(Exception):
                system.rm_file(unfinished)
            raise


def _write_local(path: Path, content: bytes | pa.Buffer) -> None:
    # A day's folder and no other: where a mount is missing, those that `prepare` made
    # would be made beneath it.
    if path.parent.name.startswith("date=") and not path.parent.is_dir():
        path.parent.mkdir(_FOLDER_MODE, exist_ok=True)
    unfinished = path.with_name(_unfinished(path.name))
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # The writer drops the rows now: they must survive a loss of power.
            os.fsync(descriptor)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _unfinished(path: str) -> str:
    # Neither a reader's pattern nor a shell's `*.parquet` takes it for a file of the log.
    return f".{path.rpartition('/')[2]}.{new_id()}{_UNFINISHED}"


def _sync_folder(folder: Path) -> None:
    # Not every mounted file system can; the file itself is safe already.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__
