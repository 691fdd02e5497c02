"""Every fault, and its promise."""

from __future__ import annotations

import signal

from tests.faults import databases, disks, pressure, processes
from tests.faults.fault import Fault
from tests.faults.rig import CLOCK, FAKETIME, Kind

POSTGRESQL: tuple[Kind, ...] = ("postgresql",)
ALL_ANSWERED = "Every request is answered, 9 of 10 within a second; every row is in the log once."
STOPS = "What was taken on is answered; exit code 0; every row is in the log once."

FAULTS: tuple[Fault, ...] = (
    Fault(
        "kill -9 of one of two workers",
        "The other answers, another takes its place; rows of the last second may be lost.",
        processes.kill_worker,
        good=0.9,
        may_lose_seconds=1.0,
    ),
    Fault(
        "one of two workers frozen (SIGSTOP)",
        "All sent meanwhile get 200 in the end, 9 of 10 within a second: only connections of the "
        "frozen one wait. Every row is in the log once.",
        processes.freeze_worker,
        seconds=8,
    ),
    Fault("kill -9 of what delivers a worker's log", ALL_ANSWERED, processes.kill_delivery),
    Fault(
        "what delivers a worker's log frozen (SIGSTOP)",
        ALL_ANSWERED,
        processes.freeze_delivery,
        seconds=8,
    ),
    Fault("kill -9 of the database", ALL_ANSWERED, databases.kill, kinds=POSTGRESQL),
    Fault(
        "database frozen for 30 s (SIGSTOP)",
        ALL_ANSWERED,
        databases.freeze,
        seconds=30,
        kinds=POSTGRESQL,
    ),
    Fault(
        "connection to the database half-open for 20 s",
        ALL_ANSWERED,
        databases.half_open,
        seconds=20,
        kinds=POSTGRESQL,
    ),
    Fault("the right to insert revoked", ALL_ANSWERED, databases.revoke, kinds=POSTGRESQL),
    Fault(
        "disk full until rows are lost (1,024 rows held in memory)",
        "Every request is answered; every lost row is counted by reason, and none besides.",
        disks.fill,
        seconds=6,
        may_lose_seconds=None,
        needs_disk=True,
        with_postgresql="the database away",
        settings={"TABSERVE_STORE_BUFFER_ROWS": "1024"},
        per_second=200,
    ),
    Fault(
        "data directory read-only for what is opened anew",
        ALL_ANSWERED,
        disks.make_read_only,
        needs_disk=True,
        with_postgresql="the database away",
    ),
    Fault(
        f"{pressure.DESCRIPTORS} file descriptors for each worker, 400 idle connections",
        "Health answers, and so do 9 of 10 requests; idle connections are closed for new ones.",
        pressure.take_descriptors,
        good=0.9,
    ),
    Fault(
        f"{pressure.BATCH_CLIENTS} clients with the largest batches, packed",
        "Half of the single rows are answered 200; a worker grows by 1 GiB at most and stays.",
        pressure.send_large_batches,
        seconds=8,
        good=0.5,
        prompt=0.0,
    ),
    Fault("SIGTERM", STOPS, processes.send(signal.SIGTERM), good=0, prompt=0),
    Fault(
        "SIGTERM twice",
        STOPS,
        processes.send(signal.SIGTERM, signal.SIGTERM),
        good=0,
        prompt=0,
    ),
    Fault("SIGINT", STOPS, processes.send(signal.SIGINT), good=0, prompt=0),
    Fault(
        "kill -9 of the supervisor",
        "Its workers stop by themselves, and every row that they answered is in the log once.",
        processes.kill_supervisor,
        good=0,
        prompt=0,
    ),
    Fault(
        "a second service on the same data directory",
        ALL_ANSWERED,
        processes.start_second,
    ),
    Fault(
        "kill -9 of everything, then a start",
        "The start delivers the spool; rows of the last second before it may be lost.",
        processes.kill_all,
        good=0,
        prompt=0,
        may_lose_seconds=1.0,
    ),
)

if FAKETIME:
    FAULTS += (
        Fault(
            "clock an hour ahead, then back (libfaketime)",
            f"{ALL_ANSWERED} New ids follow the clock back.",
            pressure.step_clock,
            settings={
                CLOCK: "a file of the rig's",
                "LD_PRELOAD": str(FAKETIME[-1]),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_CACHE_DURATION": "1",
            },
        ),
    )
