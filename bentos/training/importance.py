"""Which features move the score of a LightGBM model.

Two readings: gain, what the splits on a feature took off the training loss; and the mean
absolute contribution to the raw score, by exact TreeSHAP (Lundberg and others 2020), which
LightGBM computes itself as `pred_contrib`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bentos.model.explanation import overall, page

if TYPE_CHECKING:
    from lightgbm import LGBMModel


def draw_page(model: LGBMModel, features: pd.DataFrame, title: str, unit: str) -> str:
    """Draw importance and dependence over the given rows as one HTML page.

    Of several classes, the contributions to the likeliest.
    """
    booster = model.booster_
    shape = (len(features), -1, booster.num_feature() + 1)
    parts = np.asarray(booster.predict(features, pred_contrib=True)).reshape(shape)
    likeliest = parts.sum(axis=2).argmax(axis=1)
    labels: list[list[str] | None] = []
    columns = []
    for name in features:
        column = features[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            labels.append([str(one) for one in column.cat.categories])
            codes = column.cat.codes.to_numpy(dtype=np.float64)
            columns.append(np.where(codes < 0, np.nan, codes))
        else:
            labels.append(None)
            columns.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
    found = overall.summarize(
        [str(name) for name in features.columns],
        columns,
        labels,
        parts[np.arange(len(features)), likeliest, :-1],
    )
    return page.draw(title, unit, len(features), "the test rows", found)


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
