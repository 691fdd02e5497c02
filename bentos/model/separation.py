"""A batch that the model fails on, taken apart until each row that fails stands alone.

A model that only its own library can run may fail on one row (a category that its encoder
does not know, a null that its pipeline does not take) and takes down the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable

from bentos.model.engines.predictor import Scores
from bentos.model.frame import Frame


def separate(predict: Callable[[Frame], Scores], frame: Frame) -> list[tuple[int, Scores]]:
    """Score what can be scored of a frame that failed as a whole.

    Gives runs of rows that scored: the position of the first, and the scores. Rows in none
    of them failed alone. A failing half is halved again, so one bad row among n costs about
    2 * log2(n) predictions, and n bad rows 2 * n.
    """
    if len(frame.matrix) == 1:
        return []
    middle = len(frame.matrix) // 2
    found: list[tuple[int, Scores]] = []
    for start, end in ((0, middle), (middle, len(frame.matrix))):
        part = frame.part(start, end)
        try:
            found.append((start, predict(part)))
        except Exception:
            found += [(start + first, scores) for first, scores in separate(predict, part)]
    return found
