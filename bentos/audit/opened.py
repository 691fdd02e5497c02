"""The log as a command opens it: from the option or the settings, with one line for what fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from bentos import settings
from bentos.errors import ConfigurationError, StoreDown, TabserveError
from bentos.model import contract, naming
from bentos.model.contract import Contract
from bentos.records.opening import NONE, open_store
from bentos.records.record import Environment, Outcome, Record, Registration, Window
from bentos.records.store import Store
from bentos.records.writer.spool.spool import FOLDER
from bentos.settings import Settings

Item = TypeVar("Item")

store_option = click.option(
    "--store", "url", metavar="URL", help="The log; by default that of TABSERVE_STORE_URL."
)


class OpenedLog:
    """An open log, and the settings it was found with.

    Two connections: records stream over one while everything else is looked up over the
    other, as not every store can do both over one.
    """

    def __init__(self, store: Store, second: Store, chosen: Settings) -> None:
        self.store = store
        self._second = second
        self.settings = chosen
        self._streams: list[Generator[Any, None, None]] = []
        self._registrations: dict[tuple[str, str], Registration | None] = {}
        self._contracts: dict[tuple[str, str], Contract | None] = {}

    @property
    def spool(self) -> Path:
        """Where rows wait that are not in the store yet."""
        return self.settings.data_dir / FOLDER

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, streaming."""
        return self._follow(self.store.read(window))

    def read_beside(self, window: Window) -> Iterator[Record]:
        """The same while `read` streams another window."""
        return self._follow(self._second.read(window))

    def of_subject(self, tokens: list[str]) -> Iterator[Record]:
        """The records of one subject by id, streaming."""
        return self._follow(self.store.of_subject(tokens))

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last outcomes of a window's predictions by id, while `read` streams."""
        return self._follow(self._second.outcomes(window))

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, while records stream."""
        return self._second.revisions(prediction_id)

    def environment(self, environment_id: str) -> Environment | None:
        """What was registered under an environment's id."""
        return self._second.environment(environment_id)

    def find_version(self, window: Window) -> Window:
        """The window with its version's full name, where people named it `v3` or by digits.

        A version that the log does not have stays as it was named. Raises ConfigurationError
        where several fit.
        """
        if window.version is None:
            return window
        everything = Window(model=window.model, is_shadow=window.is_shadow)
        known = sorted({one.version for one in self.store.versions(everything)})
        if not naming.match(known, window.version):
            return window
        full = naming.pick(known, window.version, "the log")
        return msgspec.structs.replace(window, version=full)

    def close(self) -> None:
        """End what still streams, then close the log."""
        for stream in self._streams:
            stream.close()
        self.store.close()
        self._second.close()

    def _follow(self, stream: Iterator[Item]) -> Iterator[Item]:
        followed = _follow(stream)
        self._streams.append(followed)
        return followed

    def registration(self, model: str, version: str) -> Registration | None:
        """What was registered of a model version, looked up once."""
        key = (model, version)
        if key not in self._registrations:
            found = self._second.registration(model, version)
            # The sample of training rows is megabytes that no command here needs.
            self._registrations[key] = None if found is None else found.bare
        return self._registrations[key]

    def contract(self, model: str, version: str) -> Contract | None:
        """The contract of a model version; None where it was never registered."""
        key = (model, version)
        if key not in self._contracts:
            found = self.registration(model, version)
            self._contracts[key] = None if found is None else _read_contract(found)
        return self._contracts[key]


@contextmanager
def open_log(url: str | None) -> Iterator[OpenedLog]:
    """Open the log that an option or the settings name; it must be there, and is not migrated.

    An error that tabserve raises on purpose, here or in the body, ends the command with one
    line and exit code 1.
    """
    try:
        chosen = settings.read()
        url = url or chosen.store_url.get_secret_value()
        store, second = _open(url, chosen), _open(url, chosen)
        log = OpenedLog(store, second, chosen)
        try:
            store.check()
            yield log
        finally:
            log.close()
    except TabserveError as error:
        raise click.ClickException(str(error)) from None


def _follow(stream: Iterator[Item]) -> Generator[Item, None, None]:
    yield from stream


def open_owned(url: str | None) -> Store:
    """Make the store that an option or the settings name, there or not. Raises TabserveError."""
    chosen = settings.read()
    return _open(url or chosen.store_url.get_secret_value(), chosen)


def _open(url: str, chosen: Settings) -> Store:
    if url == NONE:
        raise ConfigurationError(
            "there is no log: TABSERVE_STORE_URL is none; name one with --store"
        )
    return open_store(url, chosen.data_dir)


def _read_contract(found: Registration) -> Contract:
    try:
        return contract.load(bytes(found.document))
    except ValueError as error:
        raise StoreDown(
            f"{found.model}:{found.version} is registered with what is {error}"
        ) from None
