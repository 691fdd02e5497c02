"""Rows to send: read from JSON lines, or drawn from what `/v1/model` says of the data.

A line is `{"row": {...}}` with, where it is known, the `score` to expect.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One row as a client sends it, and the score that must come back, where it is known."""

    row: dict[str, Any]
    score: float | None = None


def read(path: Path) -> list[Sample]:
    """Read samples from JSON lines. Raises ValueError for a file without any."""
    samples = [
        Sample(line["row"], line.get("score"))
        for line in map(json.loads, path.read_text().splitlines())
    ]
    if not samples:
        raise ValueError(f"{path.name} has no rows")
    return samples


def draw(model: Mapping[str, Any], count: int, seed: int) -> list[Sample]:
    """Draw rows that the model accepts, by its features as `/v1/model` describes them.

    Numbers are uniform over the training range, categories uniform, and a feature is
    missing as often as in training. Features are drawn one by one, so what the data ties
    together is not tied here: use exported rows where that matters.
    """
    source = random.Random(seed)  # noqa: S311  # load, not secrets: it must repeat
    features = model["features"]
    return [
        Sample({feature["name"]: _value(feature, source) for feature in features})
        for _ in range(count)
    ]


def _value(feature: Mapping[str, Any], source: random.Random) -> Any:
    profile = feature["profile"] or {}
    # Drawn in any case, so that one feature's missing rate does not move the others.
    is_missing = source.random() < profile.get("missing_rate", 0.0)
    value = _present(feature, profile, source)
    return None if is_missing and feature["nullable"] else value


def _present(feature: Mapping[str, Any], profile: Mapping[str, Any], source: random.Random) -> Any:
    kind = feature["kind"]
    if kind == "category":
        return source.choice(feature["categories"])
    if kind == "boolean":
        return source.random() < 0.5
    if kind == "text":
        return f"text {source.randrange(100)}"
    low, high = profile.get("minimum"), profile.get("maximum")
    # Without a profile any number is as good as another.
    low, high = (0.0, 1.0) if low is None or high is None else (low, high)
    if kind == "integer":
        return source.randint(round(low), round(high))
    return source.uniform(low, high)
