"""A rollout from its start to its promotion or its end, one step after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bentos.errors import ConfigurationError, TabserveError
from bentos.rollout import plan
from bentos.rollout.cluster import Cluster
from bentos.rollout.judge import Limits, Verdict, judge
from bentos.rollout.prometheus import Prometheus, PrometheusError


class RolledBack(TabserveError):
    """The canary was taken away; the message says why."""


class Undecided(TabserveError):
    """A step's time is over and nothing can be said; the canary is as it was."""


@dataclass(frozen=True)
class Options:
    """How a rollout goes."""

    steps: tuple[int, ...] = plan.STEPS
    limits: Limits = field(default_factory=Limits)
    # Until the canary has been scraped twice, nothing can be counted.
    first_look_seconds: int = 45
    look_seconds: int = 30
    # Of one step. Looks that fit in here share the level.
    deadline_seconds: int = 900
    ready_seconds: int = 300
    # At the end of a step that could not tell: keep the canary and ask a person.
    is_held: bool = False
    replay_window: str | None = "24h"
    max_flipped: float = 0.1


class Steering:
    """Moves one candidate through the steps; says each change in a line, and records it."""

    def __init__(
        self,
        cluster: Cluster,
        prometheus: Prometheus,
        options: Options,
        say: Callable[[str], None],
        annotate: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._prometheus = prometheus
        self._options = options
        self._say = say
        self._annotate = annotate
        self._record: dict[str, Any] = {}

    def start(self, image: str) -> None:
        """Bring `image` to all traffic, or take it away again.

        Raises RolledBack, Undecided, or whatever kept it from starting.
        """
        if self._cluster.read("deployment", plan.CANARY) is not None:
            raise ConfigurationError(
                "a rollout is under way: `tabserve rollout promote` or `abort` ends it"
            )
        stable = self._cluster.read_stable()
        present = plan.find_container(stable["spec"]["template"])["image"]
        if present == image:
            raise ConfigurationError("this image is the stable version already")
        if (route := self._cluster.read_route()) is not None:
            # A route that is not ours is found now, and not when the canary is there.
            plan.set_weights(route, 0)
        canary = plan.make_canary(stable, image, 1)
        self._record = {
            "image": image,
            "stable": present,
            "started": _now(),
            "outcome": "running",
            "steps": [],
        }
        self._cluster.write_record(self._record)
        self._replay(canary)
        self._annotate(f"rollout of {image} began")
        try:
            for percent in self._options.steps:
                self._step(percent, canary)
        except (RolledBack, PrometheusError) as error:
            self._end("rolled back", str(error))
            self._take_away()
            self._annotate(f"rollout of {image} rolled back: {error}")
            raise RolledBack(str(error)) from None
        except Undecided as error:
            self._end("undecided", str(error))
            raise
        self.promote()

    def promote(self) -> None:
        """Give all traffic to the canary's image, and take the canary away."""
        canary = self._cluster.read("deployment", plan.CANARY)
        if canary is None:
            raise ConfigurationError("there is no canary to promote")
        image = plan.find_container(canary["spec"]["template"])["image"]
        self._record = self._record or self._cluster.read_record() or {}
        before = plan.find_container(self._cluster.read_stable()["spec"]["template"])["image"]
        self._cluster.set_stable_image(image)
        self._say(f"100 %: {image} replaces {before}")
        if not self._cluster.wait(plan.STABLE, self._options.ready_seconds * 3):
            # The canaries serve on: the new version is good, and its rollout stands still.
            raise TabserveError(
                f"the Deployment {plan.STABLE} does not get ready; the canary stays"
            )
        self._take_away()
        self._end("promoted", f"{image} replaced {before}")
        self._annotate(f"{image} promoted, {before} before")

    def abort(self, reason: str) -> None:
        """Take the canary away."""
        self._record = self._cluster.read_record() or {}
        if self._cluster.read("deployment", plan.CANARY) is None:
            raise ConfigurationError("there is no canary to take away")
        self._take_away()
        self._end("aborted", reason)
        self._annotate(f"rollout aborted: {reason}")

    def undo(self) -> None:
        """Return the stable Deployment to the image before the present one."""
        if self._cluster.read("deployment", plan.CANARY) is not None:
            raise ConfigurationError("a rollout is under way: `tabserve rollout abort` first")
        previous = self._cluster.find_previous_image()
        if previous is None:
            raise ConfigurationError("no revision with another image is kept")
        image, revision = previous
        self._cluster.undo(revision)
        self._say(f"returning to {image}")
        if not self._cluster.wait(plan.STABLE, self._options.ready_seconds * 3):
            raise TabserveError(f"the Deployment {plan.STABLE} does not get ready")
        self._annotate(f"returned to {image}")
        self._cluster.write_record({"image": image, "outcome": "returned", "ended": _now()})

    def shadow(self, image: str) -> None:
        """Start a candidate that gets copies of the answered requests, and answers nobody."""
        stable = self._cluster.read_stable()
        if self._cluster.read("service", plan.SHADOW) is None:
            raise ConfigurationError(
                f"there is no Service {plan.SHADOW}: add components/shadow to the overlay"
            )
        self._cluster.apply(plan.make_shadow(stable, image))
        if not self._cluster.wait(plan.SHADOW, self._options.ready_seconds):
            self._cluster.delete("deployment", plan.SHADOW)
            raise TabserveError("the candidate did not get ready: its model could not prove itself")
        self._say(f"{image} scores in shadow: `tabserve shadow` compares, `--stop` ends it")
        self._annotate(f"{image} began to score in shadow mode")

    def stop_shadow(self) -> None:
        """Take the candidate in shadow mode away; its rows stay in the log, marked."""
        if self._cluster.read("deployment", plan.SHADOW) is None:
            raise ConfigurationError("no candidate is in shadow mode")
        self._cluster.delete("deployment", plan.SHADOW)
        self._annotate("the candidate in shadow mode was taken away")

    def _take_away(self) -> None:
        # The weight first: what is sent to a Service without pods is lost.
        route = self._cluster.read_route()
        if route is not None:
            # One that names other Services never sent the canary anything.
            with suppress(ConfigurationError):
                self._cluster.apply(plan.set_weights(route, 0))
        self._cluster.delete("deployment", plan.CANARY)

    def _replay(self, canary: plan.Object) -> None:
        window = self._options.replay_window
        if window is None:
            return
        job = plan.make_replay(canary, window, self._options.max_flipped, "tabserve-replay")
        self._say(f"replay of {window} of recorded rows on the candidate")
        is_good, output = self._cluster.run_job(job, 900)
        self._say(output.rstrip())
        if not is_good:
            reason = "replay: too many decisions would change, or nothing could be scored"
            self._end("refused", reason)
            raise RolledBack(reason)

    def _step(self, percent: int, canary: plan.Object) -> None:
        stable = self._cluster.read_stable()["status"].get("readyReplicas", 1)
        replicas = plan.count_replicas(percent, stable)
        self._cluster.apply({**canary, "spec": {**canary["spec"], "replicas": replicas}})
        route = self._cluster.read_route()
        if route is None:
            share = plan.share(replicas, stable)
            by = "connections"
        else:
            share, by = percent / 100, "requests, by weight"
        self._say(f"{percent} %: {replicas} canary to {stable} stable, {share:.0%} of {by}")
        if not self._cluster.wait(plan.CANARY, self._options.ready_seconds):
            raise RolledBack("the canary did not get ready: its model could not prove itself")
        if route is not None:
            # Only now: a weight for a Service without a pod that is ready answers 503.
            self._cluster.apply(plan.set_weights(route, percent))
        began = time.monotonic()
        options = self._options
        looks = max(
            1, (options.deadline_seconds - options.first_look_seconds) // options.look_seconds + 1
        )
        limits = replace(options.limits, looks=looks)
        time.sleep(min(options.first_look_seconds, options.deadline_seconds))
        while True:
            window = int(time.monotonic() - began)
            samples = self._prometheus.sample(window)
            verdict = judge(samples["stable"], samples["canary"], limits)
            self._note(percent, share, window, verdict)
            if verdict.finding == "as good":
                return
            if verdict.finding == "worse":
                raise RolledBack("; ".join(verdict.reasons))
            if time.monotonic() - began + options.look_seconds > options.deadline_seconds:
                self._give_up(verdict)
            time.sleep(options.look_seconds)

    def _give_up(self, verdict: Verdict) -> None:
        why = "; ".join(verdict.reasons)
        if self._options.is_held:
            raise Undecided(f"cannot tell: {why}; `tabserve rollout promote` or `abort` decides")
        raise RolledBack(f"cannot tell in {self._options.deadline_seconds} s: {why}")

    def _note(self, percent: int, share: float, window: int, verdict: Verdict) -> None:
        self._say(f"  after {window} s: {verdict.finding}")
        for measure in verdict.measures:
            self._say(f"    {measure.finding:11}  {measure.why}")
        looked = {
            "percent": percent,
            "share": round(share, 3),
            "seconds": window,
            "finding": verdict.finding,
            "measures": [asdict(measure) for measure in verdict.measures],
        }
        steps = self._record["steps"]
        # The last look of each step is what decided.
        if steps and steps[-1]["percent"] == percent:
            steps.pop()
        steps.append(looked)
        self._cluster.write_record(self._record)

    def _end(self, outcome: str, reason: str) -> None:
        self._record |= {"outcome": outcome, "reason": reason, "ended": _now()}
        self._cluster.write_record(self._record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
