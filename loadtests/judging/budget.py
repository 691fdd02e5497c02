"""Budgets: limits as data (`budgets.yaml`), and whether a session kept them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from loadtests.session import Session
from loadtests.traffic.plan import PLANS
from loadtests.traffic.recorder import Passage

FILE = Path(__file__).with_name("budgets.yaml")
ANY = "*"
# Of a whole stage, and of one kind of request in it.
OF_STAGE = ("failures", "behind", "late_p99", "per_second", "rss_bytes", "rss_growth", "cores")
OF_REQUEST = ("p50", "p95", "p99", "longest")


class Malformed(Exception):
    """A budget cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Budget:
    """One limit, and why it is that."""

    plan: str
    value: str
    why: str
    stage: str = ANY
    request: str = ANY
    at_most: float = math.inf
    at_least: float = -math.inf


@dataclass(frozen=True)
class Verdict:
    """One limit in one stage: what was found, None where it was not measured."""

    budget: Budget
    stage: str
    request: str
    found: float | None

    @property
    def is_met(self) -> bool:
        """Whether it was measured and kept."""
        if self.found is None:
            return False
        return self.budget.at_least <= self.found <= self.budget.at_most


def read(path: Path = FILE) -> list[Budget]:
    """Read budgets. Raises Malformed."""
    entries = yaml.safe_load(path.read_text())
    if not isinstance(entries, list) or not entries:
        raise Malformed("there are no budgets")
    return [_budget(number, entry) for number, entry in enumerate(entries, 1)]


def _budget(number: int, entry: Mapping[str, Any]) -> Budget:
    def require(is_good: bool, what: str) -> None:
        if not is_good:
            raise Malformed(f"budget {number}: {what}")

    require(isinstance(entry, dict), "must be a mapping")
    known = {field.name for field in fields(Budget)}
    require(entry.keys() <= known, f"unknown: {', '.join(sorted(entry.keys() - known))}")
    require({"plan", "value", "why"} <= entry.keys(), "needs plan, value and why")
    budget = Budget(**entry)
    require(budget.plan in (*PLANS, ANY), f"there is no plan {budget.plan}")
    require(budget.value in OF_STAGE + OF_REQUEST, f"there is no value {budget.value}")
    if budget.plan != ANY:
        stages = {stage.name for stage in PLANS[budget.plan] if stage.is_measured}
        require(budget.stage in stages | {ANY}, f"there is no stage {budget.stage}")
    bounds = [entry[bound] for bound in ("at_most", "at_least") if bound in entry]
    require(
        bool(bounds) and all(type(bound) in (int, float) for bound in bounds),
        "needs a number as at_most or at_least",
    )
    require(len(budget.why.split()) > 3, "needs a reason")
    return budget


def judge(session: Session, budgets: Sequence[Budget]) -> Iterator[Verdict]:
    """Give a verdict for every limit in every stage that it is for.

    A stage that was not reached, or a request that nobody made, gives one that is not met:
    what was not measured was not kept.
    """
    for budget in budgets:
        if budget.plan not in (session.plan, ANY):
            continue
        passages = [
            passage
            for passage in session.passages
            if budget.stage in (passage.stage, ANY)
            # A failure is one in any stage.
            and (passage.is_measured or budget.value == "failures")
        ]
        if not passages:
            yield Verdict(budget, budget.stage, budget.request, None)
        for passage in passages:
            yield from _judge(budget, passage)


def _judge(budget: Budget, passage: Passage) -> Iterator[Verdict]:
    if budget.value in OF_STAGE:
        name = "failed" if budget.value == "failures" else budget.value
        found = _number(getattr(passage, name))
        # No process holds no memory: nobody looked.
        yield Verdict(
            budget, passage.stage, ANY, found if budget.value != "rss_bytes" else found or None
        )
        return
    requests = [request for request in passage.tallies if budget.request in (request, ANY)]
    for request in requests or [budget.request]:
        tally = passage.tallies.get(request)
        found = _number(getattr(tally, budget.value)) if tally else None
        yield Verdict(budget, passage.stage, request, found)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
