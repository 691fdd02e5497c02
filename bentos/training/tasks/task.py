"""What a task has to say of scores; its modules implement this, `registry.py` picks one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bentos.training import Classes, TaskName


@dataclass(frozen=True)
class Deciding:
    """The metric that compares models. `title`: as people write it.

    `is_relative`: a margin of it is a share of the other model's value, because it has the
    target's unit.
    """

    metric: str
    title: str
    is_more_better: bool
    is_relative: bool = False

    def gain(self, new: float, old: float) -> float:
        """How much better the new value is, in what a margin is counted in; negative if worse."""
        difference = new - old if self.is_more_better else old - new
        return difference / old if self.is_relative and old else difference


@dataclass(frozen=True)
class Evaluated:
    """Test rows and their scores.

    `outcomes`: number of the class or value, shape (n,). `scores`: shape (n,), of several
    classes (n, classes). `threshold`: of a binary score, else None. `metrics`: what `measure`
    found.
    """

    outcomes: NDArray[Any]
    scores: NDArray[np.float64]
    threshold: float | None
    classes: Classes
    metrics: Mapping[str, float]


class Task(Protocol):
    """One kind of target."""

    @property
    def name(self) -> TaskName: ...

    @property
    def noun(self) -> str:
        """What a model of this task is called."""
        ...

    @property
    def baseline(self) -> str:
        """The candidate that has to be beaten."""
        ...

    @property
    def deciding(self) -> Deciding: ...

    @property
    def titles(self) -> Mapping[str, str]:
        """Every metric that `measure` gives, with its title for the model card, in order."""
        ...

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics of the table on the terminal."""
        ...

    @property
    def contribution_unit(self) -> str:
        """What a feature's contributions to the score are counted in."""
        ...

    def measure(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float]:
        """Every metric; what the rows cannot give is left out."""
        ...

    def measure_group(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float | None]:
        """What is compared between groups of rows; a number that a group cannot give is None."""
        ...

    def draw(self, evaluated: Evaluated) -> dict[str, Figure]:
        """Pictures by file name."""
        ...

    def say_score(self, target: str, classes: Classes) -> str:
        """What the score is, in one sentence without its end."""
        ...
