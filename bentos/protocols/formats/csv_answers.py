"""Results as CSV (RFC 4180): `row`, `id`, scores, `label`, `warnings`, `errors`. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bentos.errors import Fault, Problem
from bentos.model.frame import FeatureWarning
from bentos.model.loading import LoadedModel
from bentos.protocols.formats.arrow_answers import score_names
from bentos.protocols.formats.format import TableResults


class CsvWriter:
    """Writes a header, then a line a row; numbers come back to the last bit."""

    def __init__(self, model: LoadedModel, *, has_ids: bool = True) -> None:
        self._has_ids = has_ids
        contract = model.contract
        self._scores = score_names(contract)
        self._labels = [_quote(_text(label)) for label in contract.classes or ()]
        self._has_label = contract.classes is not None

    def begin(self) -> bytes:
        """The header."""
        label = ["label"] if self._has_label else []
        identity = ["row", "id"] if self._has_ids else ["row"]
        return _line([*identity, *map(_quote, self._scores), *label, "warnings", "errors"])

    def write(self, results: TableResults) -> bytes:
        """A line a row."""
        ids = results.ids.tolist()
        scores = results.scores.reshape(len(results), -1).tolist()
        decided = [None] * len(ids) if results.decided is None else results.decided.tolist()
        lines = []
        for place, values in enumerate(scores):
            problem = results.problems.get(place)
            if problem is not None:
                lines.append(self._refused(results.first + place, ids[place].decode(), problem))
                continue
            best = decided[place]
            label = [] if best is None else [self._labels[best]]
            warnings = results.warnings.get(place)
            noted = _quote(_notes(warnings)) if warnings else ""
            named = self._name(results.first + place, ids[place].decode())
            lines.append(_line([*named, *map(repr, values), *label, noted, ""]))
        return b"".join(lines)

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def fail(self, problem: Problem, row: int) -> bytes:
        """A last line with the error and no id."""
        return self._refused(row, "", problem)

    def _refused(self, row: int, prediction_id: str, problem: Problem) -> bytes:
        nothing = [""] * (len(self._scores) + self._has_label)
        errors = _notes(problem.faults) or f"{problem.kind}: {problem.detail}"
        return _line([*self._name(row, prediction_id), *nothing, "", _quote(errors)])

    def _name(self, row: int, prediction_id: str) -> list[str]:
        return [str(row), prediction_id] if self._has_ids else [str(row)]


def _notes(notes: Iterable[Fault | FeatureWarning]) -> str:
    return "; ".join(f"{one.pointer} {one.code}".strip() for one in notes)


def _text(label: object) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _quote(text: str) -> str:
    is_plain = not any(sign in text for sign in ',"\r\n') and text.strip() == text and text
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def _line(fields: list[str]) -> bytes:
    return (",".join(fields) + "\r\n").encode()
