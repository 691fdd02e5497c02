"""One model's explanations: contributions, and the reasons where it brings a file of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bentos.model.contract import Contract
from bentos.model.explanation.contributions import Contributor, Parts
from bentos.model.explanation.reasons import GivenReason, Reasoner, ReasonsFile
from bentos.model.explanation.support import METHOD, find_obstacle, read_trees
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """Why one row has its score. `reasons`: None where the model brings none."""

    parts: Parts
    reasons: tuple[GivenReason, ...] | None = None


class Explainer:
    """Explains the scores of one model, or says why it cannot.

    `obstacle`: why not; None where it can. LightGBM reads the trees when the first row is
    explained: a service that never explains holds neither them nor their text.
    """

    def __init__(
        self, contract: Contract, read_text: Callable[[], str] | None, file: ReasonsFile | None
    ) -> None:
        """`read_text`: gives the booster's text, checked against its digest; None: no booster."""
        text = read_text() if read_text is not None else None
        self.obstacle = find_obstacle(contract.engine, text)
        self.file = file
        self._contract = contract
        self._read_text = read_text
        self._contributor: Contributor | None = None
        self._reasoner: Reasoner | None = None
        self._unit = ""
        if self.obstacle is None and text is not None:
            trees = read_trees(text)
            self._unit = trees.unit
            if file is not None:
                is_softmax = trees.objective == "multiclass"
                self._reasoner = Reasoner(file, contract, is_softmax=is_softmax)

    @property
    def contributor(self) -> Contributor:
        """What computes contributions; only without an obstacle.

        Raises IntegrityError where the booster's file is not what it was at the start.
        """
        if self._contributor is None:
            text = self._read_text() if self._read_text is not None else ""
            self._contributor = Contributor(self._contract, text)
        return self._contributor

    def explain(
        self,
        rows: Sequence[EncodedRow],
        scored: Sequence[Scored],
        *,
        has_all_reasons: bool = False,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> list[Explanation]:
        """Explain answered rows, in their order; only without an obstacle.

        `has_all_reasons`: give reasons to rows that are not refused, too.
        Raises NotAdditive where an explanation is wrong, Abandoned where `is_wanted` says so.
        """
        found = self.contributor.explain(rows, scored, is_wanted)
        return [
            Explanation(parts, self._reasons(parts, one, has_all_reasons))
            for parts, one in zip(found, scored, strict=True)
        ]

    def describe(self) -> dict[str, object]:
        """What `/v1/model` says of explanations."""
        if self.obstacle is not None:
            return {"available": False, "why_not": self.obstacle}
        return {
            "available": True,
            "method": METHOD,
            "unit": self._unit,
            "reasons": None if self.file is None else self.file,
        }

    def _reasons(
        self, parts: Parts, scored: Scored, has_all_reasons: bool
    ) -> tuple[GivenReason, ...] | None:
        reasoner = self._reasoner
        if reasoner is None:
            return None
        return reasoner.rank(parts) if has_all_reasons or reasoner.is_refused(scored) else ()
