"""Why a score is what it is: LightGBM's own contributions of each feature.

Exact TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2): the base and the
contributions add up to the raw score, which the objective's link turns into the score.
They say how the model came to its number, not what is true of the person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bentos.audit import rescoring
from bentos.audit.opened import OpenedLog
from bentos.errors import IntegrityError
from bentos.model.explanation.contributions import NotAdditive
from bentos.model.explanation.explainer import Explanation
from bentos.model.explanation.support import METHOD
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow
from bentos.records.record import Record

# Contributions named one by one; the others are given as one sum.
TOP = 5

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
        elif served.explainer.obstacle is not None:
            self.why_not = f"the model's scores are not explained: {served.explainer.obstacle}"
        else:
            self._served = served

    def explain(self, records: Sequence[Record]) -> list[dict[str, object]]:
        """The reasons for each record, or why there are none."""
        served = self._served
        if served is None:
            return [_unavailable(self.why_not) for _ in records]
        encoded = rescoring.encode_rows(served, records)
        is_whole = [not rescoring.lacks(served.contract, record) for record in records]
        good = [row for row, whole in zip(encoded, is_whole, strict=True) if whole]
        rows = [row for row in good if isinstance(row, tuple)]
        try:
            explained = iter(_explain(served, rows) if rows else ())
        except NotAdditive as error:
            # The person's records are exported all the same.
            return [_unavailable(str(error)) for _ in records]
        reasons = []
        for record, row, whole in zip(records, encoded, is_whole, strict=True):
            if not whole:
                reasons.append(_unavailable("not all features of this record were stored"))
            elif isinstance(row, tuple):
                reasons.append(_reasons(served, record, *next(explained)))
            else:
                reasons.append(_unavailable("the model's contract refuses the stored values"))
        return reasons


def _explain(served: LoadedModel, rows: Sequence[EncodedRow]) -> list[tuple[Scored, Explanation]]:
    scored = served.scorer.score(rows).scored
    return list(zip(scored, served.explainer.explain(rows, scored), strict=True))


def _unavailable(why: str) -> dict[str, object]:
    return {"available": False, "why_not": why}


def _reasons(
    served: LoadedModel, record: Record, scored: Scored, explanation: Explanation
) -> dict[str, object]:
    contract = served.contract
    names = list(map(str, contract.classes or ()))
    recorded = [record.score] if record.scores is None else list(record.scores.values())
    scores = scored.scores or (scored.score,)
    if len(recorded) != len(scores) or not all(
        one is not None
        and now is not None
        and math.isclose(one, now, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        for one, now in zip(recorded, scores, strict=True)
    ):
        return _unavailable("the model gives another score now; `tabserve replay` says why")
    place, about = 0, None
    if contract.task == "binary":
        about = names[1]
    elif contract.task == "multiclass":
        place = names.index(record.label or "")
        about = names[place]
    own = explanation.parts.contributions[place]
    order = sorted(range(len(own)), key=lambda position: -abs(own[position]))
    values = record.values
    return {
        "available": True,
        "method": METHOD,
        # Whose raw score it is; a positive contribution speaks for this class.
        "class": about,
        "raw_score": explanation.parts.raw_scores[place],
        "base": explanation.parts.bases[place],
        "top_contributions": [
            {
                "feature": contract.names[position],
                "value": values[contract.names[position]],
                "contribution": own[position],
            }
            for position in order[:TOP]
        ],
        "other_contributions": math.fsum(own[position] for position in order[TOP:]),
        # By the model's file of reasons, as an explained answer would have had them.
        "given": explanation.reasons,
    }
