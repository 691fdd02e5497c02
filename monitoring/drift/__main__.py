"""`python -m monitoring.drift`: one run, and where its results go.

Exits 0 whether or not there is drift; 1 where the comparison of a version failed, or the log
could not be read or written; 2 for a wrong setting; 3 for drift, if asked to.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from uuid import uuid4

from monitoring.drift.options import SettingsError
from monitoring.drift.publishing.failure import describe
from monitoring.drift.settings import Settings, read

LOGGER = logging.getLogger("tabserve.drift")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run once, and give the exit code."""
    started = perf_counter()
    try:
        settings = read(arguments, environment)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        # Ten seconds of imports: a wrong setting is said before.
        from monitoring.drift import job  # noqa: PLC0415 - a wrong setting is refused first
        from monitoring.drift.publishing import publish  # noqa: PLC0415 - a wrong setting is refused first

        now, name = datetime.now(UTC), str(uuid4())
        done = job.work(settings, now, name)
        publish.publish(done, settings, perf_counter() - started)
    except Exception as error:
        # One line, as a traceback ends with a message that may hold a value.
        LOGGER.error("the run broke: %s", describe(error))
        _tell_break(settings, perf_counter() - started)
        return 1
    outcomes = [item.entry.outcome for item in done]
    if "failed" in outcomes:
        return 1
    return 3 if settings.fail_on_drift and "drift" in outcomes else 0


def _tell_break(settings: Settings, duration_seconds: float) -> None:
    """The state of a run that broke outside of its work: an import, or the telling itself."""
    if not settings.pushgateway:
        return
    try:
        from monitoring.drift.publishing import push  # noqa: PLC0415 - a wrong setting is refused first

        state = push.Run("failed", (), datetime.now(UTC).timestamp(), duration_seconds)
        push.push_run(settings.pushgateway, settings.job_name, state, settings.timeout_seconds)
    except Exception as error:
        LOGGER.error("the state of the run was not pushed: %s", describe(error))


if __name__ == "__main__":
    # The working folder holds the packages; `-m` puts it on the path by itself.
    raise SystemExit(main(sys.argv[1:], os.environ))
