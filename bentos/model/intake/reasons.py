"""The file of reasons of a model that is imported: held to the contract, and tried out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bentos.errors import IntakeError
from bentos.model import bundle
from bentos.model.contract import Contract
from bentos.model.explanation import reasons
from bentos.model.explanation.contributions import Contributor, NotAdditive, check_sum
from bentos.model.explanation.support import find_obstacle
from bentos.model.validation import EncodedRow

# Rows that are explained as a trial: a large model takes some 50 ms for each.
TRIAL_ROWS = 8


def check(
    model_dir: Path,
    made: Contract,
    booster: str | None,
    rows: Sequence[EncodedRow],
    *,
    is_required: bool = False,
) -> Iterator[str]:
    """Check that a model can be explained as its file of reasons says; yield warnings.

    `rows`: encoded, some of which are explained. `is_required`: every feature must have a reason.
    Raises IntakeError.
    """
    path = bundle.find(model_dir, bundle.REASONS)
    lacking: list[str] = []
    if path is not None:
        file = reasons.parse(path.read_bytes())
        lacking = reasons.check(file, made, is_required=is_required)
        is_required = is_required or file.required
    elif is_required:
        raise IntakeError(
            f"reasons are required, and no {bundle.REASONS} was logged with the model: add it to "
            "its extra_files, or with `tabserve evidence --reasons`"
        )
    obstacle = find_obstacle(made.engine, booster)
    if obstacle is None and booster is not None and rows:
        contributor = Contributor(made, booster)
        try:
            check_sum(*contributor.compute(contributor.frame(rows[:TRIAL_ROWS])))
        except NotAdditive as error:
            obstacle = str(error)
            yield f"explanations are refused: {error}"
    if obstacle is not None and is_required:
        raise IntakeError(f"reasons are required, and its scores are not explained: {obstacle}")
    if obstacle is not None and path is not None:
        yield f"{bundle.REASONS} is of no use: its scores are not explained: {obstacle}"
    elif lacking:
        yield (
            f"{bundle.REASONS} has no reason for {reasons.list_features(lacking)}: what it does "
            "towards a refusal is never given"
        )
