"""The mixin rendered once, and the programs that check it."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.mixin import render
from tests.service.checks import require


@pytest.fixture(scope="session")
def mixin() -> dict[str, Any]:
    """The mixin as its own configuration renders it."""
    return render.evaluate()


@pytest.fixture(scope="session")
def dashboards(mixin: dict[str, Any]) -> dict[str, Any]:
    """The dashboards, by uid."""
    return {one["uid"]: one for one in mixin["dashboards"].values()}


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checks."""
    return require("promtool", "prometheus")


@pytest.fixture(scope="session")
def amtool() -> str:
    """Alertmanager's own checks."""
    return require("amtool", "prometheus-alertmanager")
