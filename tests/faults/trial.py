"""One fault under load: before, during, after, and what is in the log in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.faults.catalogue import Fault
from tests.faults.load import Asked, Load
from tests.faults.rig import Kind, Rig
from tests.records.postgresql import Server as PostgreSQL
from tests.service.checks import total_of

QUIET_SECONDS = 3.0
RECOVERY_SECONDS = 90.0


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
    rig = Rig(tag, kind, database, row)
    try:
        return _run(fault, rig, row)
    finally:
        rig.close()


def _run(fault: Fault, rig: Rig, row: dict[str, Any]) -> Outcome:
    load = Load(rig.service.port, row)
    time.sleep(QUIET_SECONDS)
    began = time.monotonic()
    with fault.do(rig):
        time.sleep(max(0.0, began + fault.seconds - time.monotonic()))
        ended = time.monotonic()
    asked = list(load.asked)
    recovery = _await_recovery(rig)
    after_began = time.monotonic()
    time.sleep(QUIET_SECONDS)
    load.stop()
    asked += [one for one in load.asked if one not in asked]
    answered = {one.prediction: one.ended for one in asked if one.prediction is not None}
    dropped, reasons = _dropped(rig)
    found = rig.await_ids(set(answered), 5.0 if dropped else 30.0)
    assert rig.service.stop() == 0
    missing = answered.keys() - set(found)
    during = [one for one in asked if began <= one.sent <= ended]
    after = [one for one in asked if one.sent >= after_began]
    broken = []
    if _share(during) < fault.good:
        broken.append(f"only {_share(during):.0%} answered 200 during")
    if _share(after) < 1:
        broken.append("not all answered after")
    if recovery is None:
        broken.append(f"not well after {RECOVERY_SECONDS:g} s")
    if len(found) != len(set(found)):
        broken.append("a row is in the log twice")
    if fault.may_lose_seconds is None:
        if len(missing) > dropped:
            broken.append(f"{len(missing)} rows missing, {dropped} counted")
    elif late := [one for one in missing if answered[one] < began - fault.may_lose_seconds]:
        broken.append(f"{len(late)} rows missing from before the fault")
    elif len(missing) > fault.may_lose_seconds * 80:
        broken.append(f"{len(missing)} rows missing")
    rows = f"{len(answered)} answered, {len(missing)} not in the log"
    return Outcome(
        fault,
        _describe(during),
        _describe(after),
        rows + (f", {dropped} counted: {reasons}" if dropped else ""),
        recovery or RECOVERY_SECONDS,
        [*_gauges(rig), *sorted(rig.problems())],
        broken,
    )


def _await_recovery(rig: Rig) -> float | None:
    began = time.monotonic()
    # A sample from before the fault would say that all is well.
    seen = len(rig.samples)
    while time.monotonic() < began + RECOVERY_SECONDS:
        if len(rig.samples) > seen + 1 and rig.is_well():
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def _share(asked: Sequence[Asked]) -> float:
    return sum(one.status == 200 for one in asked) / len(asked) if asked else 1.0


def _describe(asked: Sequence[Asked]) -> str:
    if not asked:
        return "none sent"
    counts = Counter(str(one.status) if one.status else "no answer" for one in asked)
    slowest = max(one.ended - one.sent for one in asked)
    parts = [f"{count} x {status}" for status, count in sorted(counts.items())]
    return f"{', '.join(parts)}; slowest {slowest:.2g} s"


def _dropped(rig: Rig) -> tuple[int, str]:
    name = "tabserve_log_rows_dropped_total"
    last = rig.samples[-1] if rig.samples else {}
    by_reason = {
        dict(labels)["reason"]: int(value)
        for (found, labels), value in last.items()
        if found == name and value
    }
    text = ", ".join(f"{reason} {count}" for reason, count in sorted(by_reason.items()))
    return sum(by_reason.values()), text


def _gauges(rig: Rig) -> list[str]:
    samples = rig.samples
    if not samples:
        return []
    ready = min(total_of(one, "tabserve_ready") for one in samples)
    waiting = max(total_of(one, "tabserve_log_queue_rows") for one in samples)
    said = [f"`tabserve_ready` down to {ready:.0f}"] if ready < 2 else []
    if waiting > 100:
        said.append(f"`tabserve_log_queue_rows` up to {waiting:.0f}")
    return said
