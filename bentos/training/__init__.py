"""The reference model: data, candidates, evaluation, registration.

The only package that knows of credit. Nothing here is imported by a serving process, and
importing this module alone pulls in no learning library.
"""

from __future__ import annotations

from typing import Literal, get_args

from bentos.errors import TabserveError

# What is learned: the probability of one of two classes, of each of several, or a number.
TaskName = Literal["binary", "multiclass", "regression"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)

# Labels in ascending order; none for a regression.
Classes = tuple[int | float | str | bool, ...]


class TrainingError(TabserveError):
    """Training cannot go on; one line says why and what to do. It never quotes a cell's value."""
