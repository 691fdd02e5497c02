"""The reasons for a refusal: the file that a model brings, and which of them a row gets. Pure.

The rule is that of credit scoring in the United States (12 CFR 1002.9(b)(2) and its official
interpretation): specific reasons, those of the factors that were actually scored, none of the
principal ones left out, and hardly ever more than four. Contributions are measured from the mean of
the training rows, as in the interpretation's second method, "the average score for each of those
factors achieved by all applicants".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec
import yaml

from bentos.errors import IntakeError
from bentos.model.contract import Category, Contract
from bentos.model.explanation.contributions import Parts
from bentos.model.scoring import Scored

_CODE = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
# More than four are "not likely to be helpful" (12 CFR 1002.9, interpretation 9(b)(2)-1); the limit
# is for a slip of the pen.
_MOST = 8
_LONGEST_SENTENCE = 300


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"label": "class"}):
    """When a row is refused: its label is this class, or its score is beyond a bound.

    `above`, `below`: of a regression; a score equal to the bound is not refused.
    """

    label: Category | None = None
    above: float | None = None
    below: float | None = None


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reason. `features`: those whose contributions are added up to its own.

    `protected`: they say something that the law protects. Such a reason is given like any other:
    one that was left out would hide what the model did.
    """

    code: str
    sentence: str
    features: tuple[str, ...]
    protected: bool = False


class ReasonsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of reasons as its owner writes it.

    `most`: how many a row gets at most. `least_share`: a reason that pushes less than this share
    of what the strongest does is none. `required`: every feature must have a reason.
    """

    refusal: Refusal
    reasons: tuple[Reason, ...]
    version: int = 1
    most: int = 4
    least_share: float = 0.0
    required: bool = False

    @property
    def sentences(self) -> dict[str, str]:
        """The sentence of each code."""
        return {reason.code: reason.sentence for reason in self.reasons}

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        """The features of each code."""
        return {reason.code: reason.features for reason in self.reasons}


class GivenReason(msgspec.Struct, frozen=True, gc=False):
    """A reason as a row gets it. `contribution`: what its features add towards the refusal."""

    code: str
    reason: str
    features: tuple[str, ...]
    contribution: float
    protected: bool


def parse(text: bytes) -> ReasonsFile:
    """Read a file of reasons. Raises IntakeError, naming the place and repeating no text of it."""
    try:
        file = msgspec.convert(yaml.safe_load(text), ReasonsFile)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise IntakeError("the file of reasons is not YAML") from None
    except msgspec.ValidationError as error:
        raise IntakeError(f"the file of reasons cannot be read: {error}") from None
    _check_alone(file)
    return file


def check(file: ReasonsFile, contract: Contract, *, is_required: bool = False) -> list[str]:
    """Hold a file of reasons to the model's contract; give the features without a reason.

    Raises IntakeError where they do not fit, or where every feature must have a reason and some
    have none.
    """
    _check_refusal(file.refusal, contract)
    named = [name for reason in file.reasons for name in reason.features]
    unknown = [name for name in named if name not in contract.positions]
    if unknown:
        raise IntakeError(
            f"the file of reasons names {list_features(unknown)}, which the model does not have"
        )
    lacking = [name for name in contract.names if name not in named]
    if lacking and (is_required or file.required):
        raise IntakeError(f"the file of reasons has no reason for {list_features(lacking)}")
    return lacking


class Reasoner:
    """Gives the reasons for the rows of one model."""

    def __init__(self, file: ReasonsFile, contract: Contract, *, is_softmax: bool) -> None:
        """`file`: checked. `is_softmax`: only differences between classes change the scores."""
        self.file = file
        refusal = file.refusal
        self._is_softmax = is_softmax
        self._output, self._sign = 0, 1.0
        classes = contract.classes or ()
        if contract.task == "multiclass":
            self._output = classes.index(refusal.label)
        elif contract.task == "binary":
            # The raw score speaks for the second class.
            self._sign = 1.0 if classes.index(refusal.label) == 1 else -1.0
        elif refusal.below is not None:
            self._sign = -1.0
        self._groups = [
            (reason, [contract.positions[name] for name in reason.features])
            for reason in file.reasons
        ]

    def is_refused(self, scored: Scored) -> bool:
        """Whether an answer is a refusal."""
        refusal = self.file.refusal
        if refusal.label is not None:
            # 1 and True are equal, and so would a label and a class of other types be.
            return type(scored.label) is type(refusal.label) and scored.label == refusal.label
        if scored.score is None:
            return False
        if refusal.above is not None:
            return scored.score > refusal.above
        return refusal.below is not None and scored.score < refusal.below

    def rank(self, parts: Parts) -> tuple[GivenReason, ...]:
        """The reasons that push a row towards refusal, the strongest first.

        Of equals the first of the file. Where none pushes, the one that speaks least against the
        refusal: the base alone may be a refusal, and none goes without a reason.
        """
        pushes = [self._push(parts, positions) for _, positions in self._groups]
        order = sorted(range(len(pushes)), key=lambda place: -pushes[place])
        if not order:
            return ()
        least = max(0.0, self.file.least_share * pushes[order[0]])
        kept = [place for place in order if pushes[place] > 0.0 and pushes[place] >= least]
        return tuple(
            GivenReason(
                reason.code, reason.sentence, reason.features, pushes[place], reason.protected
            )
            for place in (kept or order[:1])[: self.file.most]
            for reason in (self._groups[place][0],)
        )

    def _push(self, parts: Parts, positions: Sequence[int]) -> float:
        # fsum is exact, so the order of the features does not change a bit.
        own = [parts.contributions[self._output][position] for position in positions]
        if self._is_softmax:
            outputs = parts.contributions
            others = math.fsum(one[position] for one in outputs for position in positions)
            return math.fsum(own) - others / len(outputs)
        return self._sign * math.fsum(own)


def _check_alone(file: ReasonsFile) -> None:
    if file.version != 1:
        raise IntakeError("the file of reasons is of another version than 1")
    if not 1 <= file.most <= _MOST:
        raise IntakeError(f"the file of reasons: most is a number from 1 to {_MOST}")
    if not 0.0 <= file.least_share < 1.0:
        raise IntakeError("the file of reasons: least_share is at least 0 and below 1")
    codes: set[str] = set()
    named: set[str] = set()
    for place, reason in enumerate(file.reasons, start=1):
        where = f"the file of reasons, reason {place}"
        if not _CODE.fullmatch(reason.code):
            raise IntakeError(
                f"{where}: a code has 1 to 32 of A-Z, 0-9, _ and -, and begins with a letter"
            )
        if reason.code in codes:
            raise IntakeError(f"{where}: the code {reason.code} is there twice")
        if not reason.sentence.strip() or len(reason.sentence) > _LONGEST_SENTENCE:
            raise IntakeError(f"{where}: a sentence has 1 to {_LONGEST_SENTENCE} characters")
        if not reason.features:
            raise IntakeError(f"{where}: {reason.code} has no features")
        twice = [name for name in reason.features if name in named]
        if twice or len(set(reason.features)) < len(reason.features):
            raise IntakeError(f"{where}: a feature of {reason.code} has a reason already")
        codes.add(reason.code)
        named.update(reason.features)


def _check_refusal(refusal: Refusal, contract: Contract) -> None:
    given = [one for one in (refusal.label, refusal.above, refusal.below) if one is not None]
    if len(given) != 1:
        raise IntakeError("the file of reasons: refusal has exactly one of class, above, below")
    if not all(math.isfinite(one) for one in (refusal.above, refusal.below) if one is not None):
        raise IntakeError("the file of reasons: a bound of the refusal is a finite number")
    if contract.classes is None:
        if refusal.label is not None:
            raise IntakeError(
                "the file of reasons: a regression has no classes: use above or below"
            )
        return
    if not any(
        type(one) is type(refusal.label) and one == refusal.label for one in contract.classes
    ):
        raise IntakeError(
            "the file of reasons: refusal.class is none of the model's classes, or of another type"
        )


def list_features(names: Sequence[str]) -> str:
    """Name features in a sentence, the first twenty."""
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"the feature {shown}" if len(names) == 1 else f"the features {shown}"
