"""One fault under load: before, during, after, and what is in the log in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.faults.fault import Fault
from tests.faults.load import Asked, Load
from tests.faults.rig import Kind, Rig
from tests.records.postgresql import Server as PostgreSQL
from tests.service.checks import total_of

QUIET_SECONDS = 3.0
RECOVERY_SECONDS = 90.0
# How long a fault may take until it shows.
PROOF_SECONDS = 40.0


class Seen(NamedTuple):
    """What happened. `struck`: when rows may have been lost. `logged`: ids in the log.

    `recovery_seconds`: None where it never was well.
    """

    asked: Sequence[Asked]
    began: float
    struck: float
    ended: float
    after_began: float
    has_held: bool
    recovery_seconds: float | None
    logged: Sequence[str]
    dropped: int

    @property
    def during(self) -> list[Asked]:
        """Requests sent while the fault held."""
        return [one for one in self.asked if self.began <= one.sent <= self.ended]

    @property
    def after(self) -> list[Asked]:
        """Requests sent when all was well again."""
        return [one for one in self.asked if one.sent >= self.after_began]

    @property
    def answered(self) -> dict[str, float]:
        """When each prediction that got an answer had it."""
        return {one.prediction: one.ended for one in self.asked if one.prediction is not None}


class Outcome(NamedTuple):
    """What came of a fault. `broken`: which parts of the promise were not kept."""

    fault: Fault
    during: str
    after: str
    rows: str
    recovery_seconds: float
    said: Sequence[str]
    broken: Sequence[str]


def run(
    fault: Fault, kind: Kind, tag: str, row: dict[str, Any], database: PostgreSQL | None
) -> Outcome:
    """Do a fault to a service of its own, and compare what happened with the promise."""
    rig = Rig(tag, kind, database, row, fault.settings)
    try:
        assert rig.has_disk or not fault.needs_disk, "only root can mount a small disk"
        return _run(fault, rig)
    finally:
        rig.close()


def _run(fault: Fault, rig: Rig) -> Outcome:
    load = Load(lambda: rig.service.port, rig.row, rig.asked, fault.per_second)
    time.sleep(QUIET_SECONDS)
    began = time.monotonic()
    with fault.do(rig) as holds:
        has_held = holds()
        while not has_held and time.monotonic() < began + max(PROOF_SECONDS, fault.seconds):
            time.sleep(0.1)
            has_held = holds()
        time.sleep(max(0.0, began + fault.seconds - time.monotonic()))
        ended = time.monotonic()
    recovery = _await_recovery(rig, ended)
    after_began = time.monotonic()
    time.sleep(QUIET_SECONDS)
    load.stop()
    wanted = {one.prediction for one in rig.asked if one.prediction is not None}
    logged = rig.await_ids(wanted, 5.0 if rig.dropped()[0] else 30.0)
    dropped, reasons = rig.dropped()
    if rig.service.stop():
        rig.broken.append("it did not stop with 0")
    seen = Seen(
        rig.asked,
        began,
        rig.struck or began,
        ended,
        after_began,
        has_held,
        recovery,
        logged,
        dropped,
    )
    missing = seen.answered.keys() - set(logged)
    rows = f"{len(seen.answered)} answered, {len(missing)} not in the log"
    return Outcome(
        fault,
        _describe(seen.during),
        _describe(seen.after),
        rows + (f", {dropped} counted: {reasons}" if dropped else ""),
        recovery or RECOVERY_SECONDS,
        [*rig.notes, *_gauges(rig), *sorted(rig.problems())],
        [*rig.broken, *judge(fault, seen)],
    )


def judge(fault: Fault, seen: Seen) -> list[str]:
    """Compare what happened with the promise: every part that was not kept."""
    broken = []
    if not seen.has_held:
        broken.append("the fault did not take hold")
    good, prompt = _share(seen.during), _share(seen.during, within_seconds=1.0)
    if good < fault.good:
        broken.append(f"only {good:.0%} answered 200 during")
    if prompt < fault.prompt:
        broken.append(f"only {prompt:.0%} answered within a second during")
    if _share(seen.after) < 1:
        broken.append("not all answered after")
    if seen.recovery_seconds is None:
        broken.append(f"not well after {RECOVERY_SECONDS:g} s")
    answered, found = seen.answered, set(seen.logged)
    if len(seen.logged) != len(found):
        broken.append("a row is in the log twice")
    missing = answered.keys() - found
    if fault.may_lose_seconds is None:
        if len(missing) != seen.dropped:
            broken.append(f"{len(missing)} rows missing, {seen.dropped} counted")
        return broken
    late = [one for one in missing if answered[one] < seen.struck - fault.may_lose_seconds]
    if late:
        broken.append(f"{len(late)} rows missing from before the fault")
    elif len(missing) > fault.may_lose_seconds * fault.per_second:
        broken.append(f"{len(missing)} rows missing")
    return broken


def _await_recovery(rig: Rig, ended: float) -> float | None:
    began = time.monotonic()
    # A sample from before the fault would say that all is well.
    seen = len(rig.samples)
    while time.monotonic() < began + RECOVERY_SECONDS:
        if len(rig.samples) > seen + 1 and rig.is_well():
            return time.monotonic() - ended
        time.sleep(0.1)
    return None


def _share(asked: Sequence[Asked], within_seconds: float | None = None) -> float:
    # Within some time: any answer; else: the right one.
    def counts(one: Asked) -> bool:
        if within_seconds is None:
            return one.status == 200
        return one.status != 0 and one.ended - one.sent <= within_seconds

    return sum(map(counts, asked)) / len(asked) if asked else 0.0


def _describe(asked: Sequence[Asked]) -> str:
    if not asked:
        return "none sent"
    counts = Counter(str(one.status) if one.status else "no answer" for one in asked)
    waits = sorted(one.ended - one.sent for one in asked)
    parts = [f"{count} x {status}" for status, count in sorted(counts.items())]
    late = sum(wait > 1 for wait in waits)
    text = f"{', '.join(parts)}; slowest {waits[-1]:.2g} s"
    return text + (f", {late} over 1 s" if late else "")


def _gauges(rig: Rig) -> list[str]:
    ready = min(total_of(one, "tabserve_ready") for one in rig.samples)
    waiting = max(total_of(one, "tabserve_log_queue_rows") for one in rig.samples)
    said = [f"`tabserve_ready` down to {ready:.0f}"] if ready < 2 else []
    if waiting > 100:
        said.append(f"`tabserve_log_queue_rows` up to {waiting:.0f}")
    return said
