"""What each column of a table would be in a contract, and how well it says the target alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bentos.audit.quality.measures import area_under_roc
from bentos.training import TrainingError
from bentos.training.data import convert
from bentos.training.tasks.target import read_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# A single column with such an area under the curve, or such a share of the target's variance,
# is rarely known before the outcome.
LEAK_AREA = 0.95
LEAK_SHARE = 0.95
# As `data.maximum_categories` in settings.yaml.
_MAXIMUM_CATEGORIES = 64
# Numbers are cut into so many groups of equal size, where a target is no matter of order.
_BINS = 20


@dataclass(frozen=True)
class Proposal:
    """One column as a feature.

    `sends`: what a client sends. `missing`: share of rows without a value. `values`: range of
    a number. `categories`: of a category, in order. `fault`: why it can be no feature as it is.
    """

    name: str
    sends: str
    missing: float
    is_nullable: bool
    values: str = ""
    categories: list[str] | None = None
    fault: str = ""


@dataclass(frozen=True)
class Relation:
    """How well columns say a target alone, the best first, and which look like leaks."""

    measure: str
    values: Mapping[str, float]
    leaks: list[str]


def propose(frame: pd.DataFrame, target: str | None) -> list[Proposal]:
    """Each column but the target as `tabserve train` would take it."""
    found = []
    for position, name in enumerate(frame.columns):
        if name == target:
            continue
        values = frame.iloc[:, position]
        missing = float(values.isna().mean())
        try:
            feature = convert(values.to_frame(), _MAXIMUM_CATEGORIES).iloc[:, 0]
        except TrainingError as error:
            found.append(Proposal(str(name), "", missing, False, fault=str(error)))
            continue
        if isinstance(feature.dtype, pd.CategoricalDtype):
            listed = [str(category) for category in feature.cat.categories]
            sends = f"text, one of {len(listed)} categories"
            found.append(Proposal(str(name), sends, missing, True, categories=listed))
        elif feature.dtype == np.bool_:
            found.append(Proposal(str(name), "true or false", missing, False))
        else:
            span = f"{feature.min():,.10g} to {feature.max():,.10g}"
            found.append(Proposal(str(name), "a number", missing, True, values=span))
    return found


def rank(features: pd.DataFrame, target: pd.Series) -> Relation | str:
    """How well each column alone says the target; a reason where it cannot be said.

    Binary: ROC-AUC. Several classes: the mean over classes of one against the rest.
    Regression: share of the target's variance (R²). Numbers of a binary target count by their
    order, in either direction; everything else by the mean target of its group (category, or
    one of twenty bins) on the other half of the rows, so that a column of names does not
    describe itself. A missing value is a value of its own.
    """
    try:
        labels, classes = read_target(target, str(target.name))
    except TrainingError as error:
        return str(error).removeprefix(f"target {str(target.name)!r} ")
    if not classes:
        outcomes = np.asarray(labels, dtype=np.float64)
        found = {str(name): _share(features[name], outcomes) for name in features}
        return _order("R²", found, LEAK_SHARE)
    places = np.searchsorted(np.array(classes), labels)
    if len(classes) == 2:
        found = {
            str(name): _area(features[name], (places == 1).astype(np.float64)) for name in features
        }
        return _order("ROC-AUC", found, LEAK_AREA)
    found = {
        str(name): float(
            np.mean(
                [
                    _area_of(_rates(features[name], mine), mine)
                    for mine in (places == np.arange(len(classes))[:, None]).astype(np.float64)
                ]
            )
        )
        for name in features
    }
    return _order("ROC-AUC, mean over classes", found, LEAK_AREA)


def _order(measure: str, found: dict[str, float], limit: float) -> Relation:
    ordered = dict(sorted(found.items(), key=lambda item: -item[1]))
    return Relation(measure, ordered, [name for name, value in ordered.items() if value >= limit])


def _area(values: pd.Series, outcomes: NDArray[np.float64]) -> float:
    if _is_number(values):
        numbers = values.astype("float64")
        filled = numbers.fillna(numbers.min() - 1.0).to_numpy(dtype=np.float64)
        area = _area_of(filled, outcomes)
        return max(area, 1.0 - area)
    return max(0.5, _area_of(_rates(values, outcomes), outcomes))


def _area_of(scores: NDArray[np.floating[Any]], outcomes: NDArray[np.float64]) -> float:
    return area_under_roc(scores.astype(np.float64), outcomes, 1.0 - outcomes)


def _share(values: pd.Series, outcomes: NDArray[np.float64]) -> float:
    """R² of the mean outcome of a row's group, at least 0."""
    residuals = outcomes - _rates(values, outcomes)
    spread = float(((outcomes - outcomes.mean()) ** 2).sum())
    return max(0.0, 1.0 - float((residuals**2).sum()) / spread)


def _rates(values: pd.Series, outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean outcome of each row's group on the half of the rows that it is not in; shape (n,)."""
    groups = _group(values)
    halves = np.arange(len(outcomes)) % 2
    found = np.full(len(outcomes), outcomes.mean())
    for half in (0, 1):
        others, mine = halves != half, halves == half
        rates = pd.Series(outcomes[others]).groupby(groups[others]).mean()
        known = pd.Series(groups[mine]).map(rates).fillna(outcomes.mean())
        found[mine] = known.to_numpy(dtype=np.float64)
    return found


def _group(values: pd.Series) -> NDArray[Any]:
    if _is_number(values) and values.nunique() > _BINS:
        numbers = pd.qcut(values.astype("float64"), _BINS, labels=False, duplicates="drop")
        return numbers.fillna(-1.0).to_numpy()
    return values.astype(str).to_numpy()


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(
        values.dtype
    )
