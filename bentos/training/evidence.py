"""The files that travel with the model: chosen here, named and written by `bentos.model.bundle`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bentos.model import bundle
from bentos.training import reasons
from bentos.training.split import shuffle

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bentos.training.candidates import Candidate
    from bentos.training.data import Dataset
    from bentos.training.settings import EvidenceSettings

# At most half of the golden rows have something missing, however many features there are.
LARGEST_MISSING_SHARE = 0.5


def choose_golden(
    features: pd.DataFrame, scores: NDArray[np.float64], rows: int, *, has_gaps: bool = True
) -> pd.DataFrame:
    """Choose rows that together would show most mistakes of a server.

    Takes evenly spaced ranks of the score, the lowest and the highest among them. Then, in
    some of the rows, values go missing: one feature each, all numbers, all categories, all at
    once; without `has_gaps` none does. Booleans are never missing. Returns at most `rows` rows,
    typed as `features`.
    """
    count = min(rows, len(features))
    ranks = np.linspace(0, len(features) - 1, count).round().astype(np.int64)
    positions = np.argsort(scores, kind="stable")[ranks]
    golden = features.iloc[positions].reset_index(drop=True)
    if not has_gaps:
        return golden
    numbers = [name for name in golden if golden[name].dtype == np.float64]
    categories = [name for name in golden if isinstance(golden[name].dtype, pd.CategoricalDtype)]
    patterns = [numbers + categories, numbers, categories]
    patterns += [[name] for name in numbers + categories]
    patterns = [pattern for pattern in patterns if pattern][: int(count * LARGEST_MISSING_SHARE)]
    # Spread over the scores, so that every kind of row has its gaps.
    for pattern, row in zip(patterns, np.linspace(0, count - 1, len(patterns)), strict=True):
        for name in pattern:
            golden.loc[round(row), name] = np.nan
    return golden


def write(
    folder: Path,
    candidate: Candidate,
    train: Dataset,
    test: Dataset,
    decision: bundle.Decision | None,
    card: str,
    settings: EvidenceSettings,
    seed: int,
) -> list[Path]:
    """Write every file into a folder and return their paths.

    Scores are the model's own, exactly: float64 as it gave them. `decision`: of a binary
    model, else None.
    """
    classes = train.classes if train.task == "multiclass" else None
    sampled = np.sort(shuffle(len(train.outcomes), seed)[: settings.reference_rows])
    reference = train.features.iloc[sampled]
    scores = candidate.score(test.features)
    ranked = scores if scores.ndim == 1 else scores[:, 0]
    golden = choose_golden(test.features, ranked, settings.golden_rows)
    paths = [
        bundle.write_scored_rows(
            folder / bundle.REFERENCE, reference, candidate.score(reference), classes
        ),
        bundle.write_scored_rows(folder / bundle.GOLDEN, golden, candidate.score(golden), classes),
    ]
    if decision is not None:
        paths.append(bundle.write_decision(folder / bundle.DECISION, decision))
    paths.append(bundle.write_features(folder / bundle.FEATURES, train.description.texts))
    if (given := reasons.write(train.description, list(train.features.columns))) is not None:
        (folder / bundle.REASONS).write_bytes(given)
        paths.append(folder / bundle.REASONS)
    (folder / bundle.CARD).write_text(card)
    return [*paths, folder / bundle.CARD]
