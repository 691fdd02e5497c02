"""Outcomes drawn from a model's own scores: labels that are as good as training promised."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bentos.model.contract import Contract

Random = np.random.Generator

# Draws that the training values are the mean of: their own error is a sixth of one draw's.
_DRAWS = 40

# Of a regression: the standard deviation of the outcomes about their score, as a share of that
# of the scores. A reference does not say it, and the level holds for any.
_SPREAD = 0.5


def draw_outcomes(contract: Contract, scores: pd.DataFrame, random: Random) -> list[str]:
    """An outcome for each row: a class by its probability, or the score and a normal error."""
    values = scores.to_numpy()
    if contract.task == "binary":
        names = [str(name) for name in contract.classes or ()]
        return [names[int(place)] for place in random.random(len(values)) < values[:, 0]]
    if contract.task == "multiclass":
        edges = values.cumsum(axis=1)
        places = (random.random((len(values), 1)) * edges[:, -1:] > edges).sum(axis=1)
        names = [str(name) for name in scores.columns]
        return [names[place] for place in places]
    error = random.normal(0.0, _SPREAD * values[:, 0].std(), len(values))
    return [repr(float(value)) for value in values[:, 0] + error]


def measure_training(contract: Contract, scores: pd.DataFrame) -> dict[str, float]:
    """What training would have measured on very many rows with such outcomes."""
    values = scores.to_numpy()
    if contract.task == "binary":
        return _measure_binary(values[:, 0])
    if contract.task == "multiclass":
        shares = values / values.sum(axis=1, keepdims=True)
        sums = np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0)
        return {
            "accuracy": float(shares.max(axis=1).mean()),
            "log_loss": float(-sums.sum(axis=1).mean()),
            "rows": 1e9,
        }
    spread = _SPREAD * float(values[:, 0].std())
    return {"mae": spread * float(np.sqrt(2.0 / np.pi)), "rmse": spread, "rows": 1e9}


def _measure_binary(scores: NDArray[np.float64]) -> dict[str, float]:
    truth = np.random.default_rng(0).random((_DRAWS, len(scores))) < scores
    areas = [roc_auc_score(row, scores) for row in truth]
    return {
        "roc_auc": float(np.mean(areas)),
        "brier": float(np.mean(scores * (1 - scores))),
        "rows": float(_DRAWS * len(scores)),
    }
