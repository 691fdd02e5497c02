"""`/v1`'s form of an explanation: what a request asks for, and what its answer has. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bentos.errors import Problem
from bentos.model.contract import Contract
from bentos.model.explanation.contributions import Parts
from bentos.model.explanation.explainer import Explanation
from bentos.model.explanation.reasons import GivenReason
from bentos.protocols import schemas
from bentos.protocols.protocol import ScoringRoute
from bentos.protocols.schemas import Schema, reference

# The query parameters of a route that explains, by whether it does so by itself.
REASONS: Mapping[str, tuple[str, ...]] = {"reasons": ("refused", "always")}
ASKED: Mapping[str, tuple[str, ...]] = {"explain": ("true", "false"), **REASONS}


class Wish(msgspec.Struct, frozen=True):
    """What a request wants explained. `has_all_reasons`: of rows that are not refused, too."""

    has_all_reasons: bool = False


class OutputExplanation(msgspec.Struct, frozen=True, gc=False):
    """The parts of one raw score."""

    base: float
    raw_score: float
    contributions: dict[str, float]


class ClassExplanations(msgspec.Struct, frozen=True, gc=False):
    """The parts of the raw score of each class, by class."""

    classes: dict[str, OutputExplanation]


ExplanationDocument = OutputExplanation | ClassExplanations


def read_wish(route: ScoringRoute, query: Mapping[str, str]) -> Wish | None:
    """Say what a request wants explained; None for nothing. Raises Problem."""
    if route.explains == "always" or query.get("explain") == "true":
        return Wish(query.get("reasons") == "always")
    if "reasons" in query:
        raise Problem("bad-query", "reasons is only for explanations: add explain=true")
    return None


def to_document(contract: Contract, explanation: Explanation) -> ExplanationDocument:
    """Name the parts of an explanation: by feature, and by class where there are several."""
    found = [_output(contract, explanation.parts, place) for place in range(_outputs(explanation))]
    if contract.task != "multiclass":
        return found[0]
    return ClassExplanations(dict(zip(map(str, contract.classes or ()), found, strict=True)))


def reasons_of(explanation: Explanation) -> tuple[GivenReason, ...] | msgspec.UnsetType:
    """The reasons that a row gets, where the model brings any."""
    return msgspec.UNSET if explanation.reasons is None else explanation.reasons


def _outputs(explanation: Explanation) -> int:
    return len(explanation.parts.bases)


def _output(contract: Contract, parts: Parts, place: int) -> OutputExplanation:
    named = dict(zip(contract.names, parts.contributions[place], strict=True))
    return OutputExplanation(parts.bases[place], parts.raw_scores[place], named)


# ---- the OpenAPI document

PARAMETERS: dict[str, Schema] = {
    "explain": {
        "name": "explain",
        "in": "query",
        "description": "Whether to explain the scores; takes hundreds of times as long.",
        "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
    },
    "reasons": {
        "name": "reasons",
        "in": "query",
        "description": "Which explained rows get the model's reasons: those that are refused, or "
        "all of them.",
        "schema": {"type": "string", "enum": ["refused", "always"], "default": "refused"},
    },
}
PROBLEMS = ("not-explainable", "wrong-explanation")


def describe(contract: Contract) -> dict[str, object]:
    """Describe the schemas of explanations with the model's own features and classes."""
    _, known = msgspec.json.schema_components((GivenReason,), ref_template=schemas.REFERENCE)
    number: Schema = {"type": "number"}
    output: Schema = {
        "type": "object",
        "required": ["base", "raw_score", "contributions"],
        "description": "Base and contributions add up to the raw score.",
        "properties": {
            "base": number,
            "raw_score": number,
            "contributions": {
                "type": "object",
                "required": list(contract.names),
                "additionalProperties": False,
                "properties": dict.fromkeys(contract.names, number),
            },
        },
    }
    if contract.task != "multiclass":
        return {**known, "Explanation": output}
    names = [str(label) for label in contract.classes or ()]
    classes: Schema = {
        "type": "object",
        "required": names,
        "properties": dict.fromkeys(names, reference("ClassExplanation")),
    }
    whole = {"type": "object", "required": ["classes"], "properties": {"classes": classes}}
    return {**known, "ClassExplanation": output, "Explanation": whole}


def properties() -> dict[str, Schema]:
    """Describe the members of an explained answer that others do not have."""
    return {
        "explanation": {
            **reference("Explanation"),
            "description": "Only where an explanation was asked for.",
        },
        "reasons": {
            "type": "array",
            "items": reference("GivenReason"),
            "description": "Why the row is refused, the strongest reason first; empty where it is "
            "not. Only in explained answers of a model that brings reasons.",
        },
    }
