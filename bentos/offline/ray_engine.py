"""The parts of a run, scored by the workers of a Ray cluster.

RAY_ADDRESS names the cluster. Without it one is started on this machine for as long as the run
takes: on the loopback interface alone, with a token, and without a dashboard.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from bentos.errors import TabserveError
from bentos.model.loading import LoadedModel
from bentos.offline import ray_task
from bentos.offline.files import File
from bentos.offline.planning import Part
from bentos.offline.run import Counts, Manifest
from bentos.settings import Settings

_ADDRESS = "RAY_ADDRESS"
_OF_OUR_OWN = {
    # Ray's switch for desktops: nothing listens but on the loopback interface. On Linux it
    # listens on all of them, whatever address a node is given.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Other users of this machine reach that interface, too, and a cluster runs what it is sent.
    "RAY_AUTH_MODE": "token",
}
# The least that Ray takes: no table goes through its store, results are files.
_STORE_BYTES = 80 * 2**20
_KNOCK_SECONDS = 10.0
# Tasks for each core: the next one waits when one ends.
_QUEUED = 2


class NoCluster(TabserveError):
    """No Ray cluster can be had; the message says why."""


class PartFailed(TabserveError):
    """A part could not be scored; the message says which and why."""


def require() -> None:
    """Raise ModuleNotFoundError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError("no Ray", name="ray")


def score_parts(
    model: LoadedModel,
    settings: Settings,
    source: File,
    target: File,
    manifest: Manifest,
    parts: Iterable[Part],
) -> Iterator[tuple[Part, Counts]]:
    """Score parts in any order, and give each when its results are written.

    Raises NoCluster, PartFailed; the parts that are done stay.
    """
    job = ray_task.Job(
        manifest.model,
        manifest.digest,
        manifest.unknown_category,
        settings.accelerator,
        (source.address, source.name),
        (target.address, target.name),
        manifest.plan.header,
    )
    waiting = iter(parts)
    with _join() as ray:
        task, shared = ray.remote(ray_task.score), ray.put(job)
        running: dict[Any, Part] = {}
        while True:
            # Asked each time: a cluster may grow while it works.
            room = _QUEUED * _count_cores(ray) - len(running)
            for part in islice(waiting, max(0, room)):
                running[task.remote(shared, part)] = part
            if not running:
                return
            (done,), _ = ray.wait(list(running))
            part = running.pop(done)
            yield part, _take(ray, done, part)


def _take(ray: Any, done: Any, part: Part) -> Counts:
    try:
        result: Counts | str = ray.get(done)
    except ray.exceptions.RayError as error:
        # Ray has tried again by itself where a machine or a process was lost.
        raise PartFailed(
            f"part {part.number}: its worker failed ({type(error).__name__})"
        ) from None
    if isinstance(result, str):
        raise PartFailed(f"part {part.number}: {result}")
    return result


def _count_cores(ray: Any) -> int:
    cores = int(ray.cluster_resources().get("CPU", 0))
    if cores < 1:
        raise NoCluster(f"the Ray cluster of {_ADDRESS} has no core to give")
    return cores


@contextmanager
def _join() -> Iterator[Any]:
    """Join a cluster, or start one; give the module `ray`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = os.environ.get(_ADDRESS)
    if address:
        _knock(address)
    with tempfile.TemporaryDirectory(prefix="tabserve-ray-", ignore_cleanup_errors=True) as folder:
        if not address:
            os.environ.update(_OF_OUR_OWN, RAY_AUTH_TOKEN=secrets.token_hex(32))
        # It reads these variables when it is imported.
        import ray  # noqa: PLC0415 - only this engine needs it

        logging.getLogger("ray").setLevel(logging.ERROR)
        own = {"include_dashboard": False, "object_store_memory": _STORE_BYTES, "_temp_dir": folder}
        try:
            ray.init(
                address or "local",
                configure_logging=False,
                log_to_driver=False,
                **({} if address else own),
            )
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            what = (
                f"the Ray cluster of {_ADDRESS} cannot be joined" if address else "Ray cannot start"
            )
            raise NoCluster(f"{what}: {reason}") from None
        try:
            yield ray
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise NoCluster where HOST:PORT does not answer: Ray itself goes on trying for minutes."""
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise NoCluster(f"the Ray cluster of {_ADDRESS} cannot be joined: {reason}") from None
