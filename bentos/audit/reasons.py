"""Why a score is what it is: LightGBM's own contributions of each feature.

Exact TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2): the base and the
contributions add up to the raw score, which the objective's link turns into the score.
They say how the model came to its number, not what is true of the person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bentos.audit import rescoring
from bentos.audit.opened import OpenedLog
from bentos.audit.quality.measures import Floats
from bentos.errors import IntegrityError
from bentos.model.engines.lightgbm import NativeBooster
from bentos.model.frame import Framer
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.loading import LoadedModel
from bentos.model.validation import EncodedRow
from bentos.records.record import Record

# Contributions named one by one; the others are given as one sum.
TOP = 5

METHOD = "exact TreeSHAP: LightGBM's own feature contributions, which add up to the raw score"

# Another machine's rounding may move a score's last bits, and no reason with them.
_TOLERANCE = 1e-9


class Reasoner:
    """Gives the reasons for the records of one model version."""

    def __init__(self, log: OpenedLog, model: str, version: str) -> None:
        self.why_not = ""
        self._served: LoadedModel | None = None
        try:
            served = rescoring.open_served(f"{model}:{version}", log.settings)
        except (rescoring.NoModel, IntegrityError) as error:
            self.why_not = str(error)
            return
        registered = log.registration(model, version)
        if registered is not None and registered.digest != served.stored.provenance.digest:
            self.why_not = "the model of this version in the local Bento store has other files"
        elif served.contract.engine != "booster":
            runs = "lignum" if served.contract.engine == "trees" else "MLflow"
            self.why_not = f"the model is run by {runs}: only LightGBM's own gives contributions"
        else:
            self._served = served
            self._framer = Framer(served.contract)
            text = (served.stored.folder / FOLDER / BOOSTER).read_text()
            self._booster = NativeBooster(text)

    def explain(self, records: Sequence[Record]) -> list[dict[str, object]]:
        """The reasons for each record, or why there are none."""
        served = self._served
        if served is None:
            return [_unavailable(self.why_not) for _ in records]
        encoded = rescoring.encode_rows(served, records)
        is_whole = [not rescoring.lacks(served.contract, record) for record in records]
        good = [row for row, whole in zip(encoded, is_whole, strict=True) if whole]
        rows = [row for row in good if isinstance(row, tuple)]
        explained = iter(self._contributions(served, rows) if rows else ())
        reasons = []
        for record, row, whole in zip(records, encoded, is_whole, strict=True):
            if not whole:
                reasons.append(_unavailable("not all features of this record were stored"))
            elif isinstance(row, tuple):
                reasons.append(_reasons(served, record, *next(explained)))
            else:
                reasons.append(_unavailable("the model's contract refuses the stored values"))
        return reasons

    def _contributions(
        self, served: LoadedModel, rows: Sequence[EncodedRow]
    ) -> list[tuple[Floats, Floats]]:
        matrix = self._framer.frame(rows).matrix
        scores = self._booster.predict(matrix).reshape(len(rows), -1)
        return list(zip(scores, self._booster.explain(matrix), strict=True))


def _unavailable(why: str) -> dict[str, object]:
    return {"available": False, "why_not": why}


def _reasons(
    served: LoadedModel, record: Record, scores: Floats, contributions: Floats
) -> dict[str, object]:
    contract = served.contract
    names = list(map(str, contract.classes or ()))
    recorded = [record.score] if record.scores is None else list(record.scores.values())
    if len(recorded) != len(scores) or not all(
        one is not None and math.isclose(one, now, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        for one, now in zip(recorded, scores.tolist(), strict=True)
    ):
        return _unavailable("the model gives another score now; `tabserve replay` says why")
    place, about = 0, None
    if contract.task == "binary":
        about = names[1]
    elif contract.task == "multiclass":
        place = names.index(record.label or "")
        about = names[place]
    parts = contributions[place]
    order = np.argsort(-np.abs(parts[:-1]), kind="stable").tolist()
    values = record.values
    return {
        "available": True,
        "method": METHOD,
        # Whose raw score it is; a positive contribution speaks for this class.
        "class": about,
        "raw_score": float(parts.sum()),
        "base": float(parts[-1]),
        "top_contributions": [
            {
                "feature": contract.names[position],
                "value": values[contract.names[position]],
                "contribution": float(parts[position]),
            }
            for position in order[:TOP]
        ],
        "other_contributions": float(parts[order[TOP:]].sum()),
    }
