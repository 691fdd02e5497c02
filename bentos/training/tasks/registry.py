"""The tasks that can be learned, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bentos.training.tasks.binary import Binary
from bentos.training.tasks.multiclass import Multiclass
from bentos.training.tasks.regression import Regression

if TYPE_CHECKING:
    from bentos.training import TaskName
    from bentos.training.tasks.task import Task

_TASKS: dict[TaskName, Task] = {
    "binary": Binary(),
    "multiclass": Multiclass(),
    "regression": Regression(),
}


def pick(name: TaskName) -> Task:
    """The task of a name."""
    return _TASKS[name]
