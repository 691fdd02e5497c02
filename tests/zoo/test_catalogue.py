"""What the documentation says can be served is what happens, kind by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.zoo.catalogue import KINDS
from tests.zoo.outcome import bring

PAGE = Path(__file__).parent.parent.parent / "docs" / "models.md"

pytestmark = pytest.mark.filterwarnings(
    # Of libraries about each other, while models are trained and logged as users do it.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning",
    "ignore::RuntimeWarning",
)


def documented() -> dict[str, str]:
    """The table of the page: how each kind is served, by its name."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ")
    ]
    return {name: served for name, served, _ in rows[1:]}


def test_every_kind_is_documented() -> None:
    """The page lists exactly the kinds that are tried here, each with how it is served."""
    assert documented() == {name: kind.served for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_kind(name: str, tmp_path: Path) -> None:
    """A model of this kind is served as the page says, with its own scores, or refused."""
    kind = KINDS[name]
    folder = tmp_path / "model"
    outcome = bring(folder, kind.log(folder))
    assert outcome.served == kind.served, outcome.reason
    assert kind.says in outcome.reason
