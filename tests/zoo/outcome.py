"""What becomes of a logged model: imported, served, and held against itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.errors import IntakeError
from bentos.model.contract import Contract
from bentos.model.engines import flavors
from bentos.model.engines.boosted import BoostedPredictor
from bentos.model.engines.predictor import BoosterPredictor, Predictor
from bentos.model.engines.pyfunc import PyfuncPredictor
from bentos.model.intake import inspection
from bentos.model.intake.rows import members_of
from bentos.model.json_rows import RowReader
from bentos.model.layout import FOLDER
from bentos.model.scoring import Scored, Scorer
from bentos.model.validation import Encoder

Served = Literal["native", "pyfunc", "refused", "WRONG"]

# Rows that are served one by one too.
_ALONE = 12


class Brought(NamedTuple):
    """A logged model: its rows, and the scores that it gives them itself.

    `tolerance`: relative; 0 demands the same bits.
    """

    rows: pd.DataFrame
    scores: Callable[[pd.DataFrame], Any]
    tolerance: float = 0.0


class Outcome(NamedTuple):
    """How a model is served, and the reason of a refusal or what was wrong."""

    served: Served
    reason: str = ""


def bring(folder: Path, brought: Brought) -> Outcome:
    """Import a model's folder, serve its rows together and alone, and compare each score."""
    try:
        inspected = inspection.inspect(folder)
    except IntakeError as error:
        return Outcome("refused", str(error))
    made = inspected.contract
    predictor: Predictor
    if inspected.boosted is not None:
        (folder / FOLDER).mkdir()
        inspected.boosted.write(folder)
        predictor = BoostedPredictor.of_folder(folder, made)
    elif inspected.booster is None:
        predictor = PyfuncPredictor(made, flavors.load(folder).call)
    else:
        predictor = BoosterPredictor(inspected.booster)
    scorer = Scorer(made, predictor)
    read_row = RowReader(Encoder(made)).read_row
    encoded = [read_row(msgspec.json.encode(row))[0] for row in members_of(brought.rows)]
    expected = _expected(made, brought)
    together = _numbers(scorer.score(encoded).scored)
    alone = np.concatenate([_numbers(scorer.score([row]).scored) for row in encoded[:_ALONE]])
    served: Served = "pyfunc" if made.engine == "pyfunc" else "native"
    tolerance = 0.0 if served == "native" else max(brought.tolerance, 1e-12)
    for name, scores in (("together", together), ("alone", alone)):
        want = expected[: len(scores)]
        if scores.shape != want.shape:
            return Outcome("WRONG", f"{name}: scores of shape {scores.shape}, not {want.shape}")
        off = ~np.isclose(scores, want, rtol=tolerance, atol=tolerance)
        if off.any():
            return Outcome("WRONG", f"{name}: {int(off.any(axis=1).sum())} rows differ")
    return Outcome(served, next(iter(inspected.warnings), ""))


def _expected(made: Contract, brought: Brought) -> NDArray[np.float64]:
    scores = np.asarray(brought.scores(brought.rows), dtype=np.float64)
    if made.task == "binary" and scores.ndim == 2:
        scores = scores[:, 1]
    return scores.reshape(len(brought.rows), -1)


def _numbers(scored: list[Scored]) -> NDArray[np.float64]:
    return np.array(
        [one.scores if one.scores is not None else [one.score] for one in scored],
        dtype=np.float64,
    )
