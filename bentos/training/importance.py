"""Which features move the score of a LightGBM model.

Two readings: gain, what the splits on a feature took off the training loss; and the mean
absolute contribution to the raw score, by exact TreeSHAP (Lundberg and others 2020), which
LightGBM computes itself as `pred_contrib`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from lightgbm import LGBMModel


def rank(model: LGBMModel, features: pd.DataFrame) -> pd.DataFrame:
    """Rank features by mean |TreeSHAP| over the given rows, shape (n, features).

    Returns columns `feature`, `gain_share` (adds up to 1) and `mean_contribution` (absolute,
    in the raw score's unit, of several classes their mean), the strongest first.
    """
    booster = model.booster_
    gain = np.asarray(booster.feature_importance(importance_type="gain"), dtype=np.float64)
    # Features and the expected value, once for each class.
    contributions = np.asarray(booster.predict(features, pred_contrib=True))
    contributions = contributions.reshape(len(features), -1, booster.num_feature() + 1)[..., :-1]
    ranked = pd.DataFrame(
        {
            # The booster's own names have underscores for spaces.
            "feature": [str(name) for name in features.columns],
            "gain_share": gain / max(float(gain.sum()), np.finfo(np.float64).tiny),
            "mean_contribution": np.abs(contributions).mean(axis=(0, 1)),
        }
    )
    return ranked.sort_values(
        ["mean_contribution", "feature"], ascending=[False, True], ignore_index=True
    )
