"""The prediction log of one worker, put together from the settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from bentos.errors import ConfigurationError
from bentos.logs import LOGGER
from bentos.model.contract import Contract
from bentos.records.opening import NONE, open_store
from bentos.records.record import Registration, encode
from bentos.records.store import Store
from bentos.records.subject import read_keys
from bentos.records.writer import environment, layer
from bentos.records.writer.delivery.counts import Counts
from bentos.records.writer.delivery.messages import Setup
from bentos.records.writer.delivery.process import DeliveryProcess
from bentos.records.writer.outcomes import Feedback
from bentos.records.writer.recorder import Recorder
from bentos.records.writer.spool.packing import Packer, Storable, find_storable
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import FOLDER, Spool
from bentos.settings import Settings


class Log:
    """The log as the settings describe it; `start` makes what the routes use.

    Raises ConfigurationError where a setting cannot be meant so: a service that could
    not log must not start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: Callable[[], Store] | None = None
        url = settings.store_url.get_secret_value()
        if url != NONE:
            open_store(url, settings.data_dir)
            self._open = partial(open_store, url, settings.data_dir)
        self._keys = read_keys(settings.subject_keys.get_secret_value())
        self._listed = read_names(settings.store_features)
        self.recorder: Recorder | None = None
        self.feedback: Feedback | None = None

    def start(self, registration: Registration, contract: Contract, engine: str) -> None:
        """Begin to log the predictions of a model."""
        if self._open is None:
            return
        if self._listed is not None:
            unknown = [name for name in self._listed if name not in contract.positions]
            if unknown:
                LOGGER.warning(f"{len(unknown)} listed features are not of this model")
            if hidden := registration.reasons.keys() - find_storable(registration, self._listed):
                LOGGER.warning(
                    f"{len(hidden)} of {len(registration.reasons)} reasons are given and not "
                    "stored: not all of their features may be (TABSERVE_STORE_FEATURES)"
                )
        if self._settings.store_buffer_rows < self._settings.max_rows:
            LOGGER.warning(
                "TABSERVE_STORE_BUFFER_ROWS is below TABSERVE_MAX_ROWS: requests with more rows "
                "than the buffer holds are not logged, and counted as dropped"
            )
        if layer.goes_with_the_container(self._settings.data_dir):
            LOGGER.warning(
                "the prediction log's folder (TABSERVE_DATA_DIR) lies in the container's own layer "
                "and is lost with it: mount a volume there"
            )
        self.feedback = Feedback(self._open)
        self.recorder = self._make_recorder(registration, contract, engine)
        self.recorder.start()

    def _make_recorder(
        self, registration: Registration, contract: Contract, engine: str
    ) -> Recorder:
        settings, listed = self._settings, self._listed
        source = RecordSource(
            registration,
            environment.describe(engine),
            None if listed is None else tuple(listed),
        )
        folder = settings.data_dir.absolute() / FOLDER
        spool, counts = Spool(folder, settings.spool_max_bytes, source), Counts()
        setup = Setup(
            settings.store_url.get_secret_value(),
            str(settings.data_dir.absolute()),
            str(folder),
            settings.spool_max_bytes,
            settings.log_level,
            encode(source),
        )
        return Recorder(
            source,
            Packer(contract, registration, Storable(listed, self._keys, settings.shadow)),
            spool,
            DeliveryProcess(setup, spool, counts, memory_rows=settings.store_buffer_rows),
            counts,
            buffer_rows=settings.store_buffer_rows,
            # Without a spool there is nothing to report.
            is_spooling=settings.spool_max_bytes > 0,
        )

    def stop(self, within_seconds: float) -> None:
        """Write what was answered, for at most so long."""
        if self.recorder is not None:
            self.recorder.stop(within_seconds)
        if self.feedback is not None:
            self.feedback.close()


def read_names(text: str) -> list[str] | None:
    """Read names separated by commas, or a JSON array of them; None where there is none."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text, type=list[str])
        except msgspec.MsgspecError:
            raise ConfigurationError(
                "TABSERVE_STORE_FEATURES must be names separated by commas, or a JSON array"
            ) from None
    return [name.strip() for name in text.split(",") if name.strip()] or None
