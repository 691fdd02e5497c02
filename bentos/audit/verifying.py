"""Recorded predictions made again by the very model that made them, compared to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bentos.audit import rescoring, streams
from bentos.audit.opened import OpenedLog
from bentos.errors import IntegrityError
from bentos.model.loading import LoadedModel
from bentos.records.record import Record, Window
from bentos.records.writer import environment

# Ids of differing rows that are shown.
_SHOWN = 5


class Difference(msgspec.Struct, frozen=True):
    """A prediction that has another result now."""

    id: str
    recorded: object
    now: object


class Verdict(msgspec.Struct):
    """What came of replaying one model version.

    `not_stored`: rows that lack a feature in the log, so that they cannot be scored again.
    `refused`: rows that the model's contract refuses now. `changes`: what is not as it was
    when the rows were made. `differences`: the first ones.
    """

    model: str
    version: str
    rows: int = 0
    equal: int = 0
    different: int = 0
    not_stored: int = 0
    refused: int = 0
    absent: str = ""
    engine: str = ""
    changes: list[str] = []
    differences: list[Difference] = []

    @property
    def is_same(self) -> bool:
        """Whether every row was made again, bit by bit, by what made it."""
        return self.equal == self.rows and not self.absent


def verify(log: OpenedLog, window: Window) -> list[Verdict]:
    """Replay a window with each record's own model version."""
    verifiers: dict[tuple[str, str], _Verifier] = {}
    for records in streams.chunk(log.read(window)):
        for key, mine in rescoring.by_version(records).items():
            if key not in verifiers:
                verifiers[key] = _Verifier(log, *key)
            verifiers[key].take(mine)
    return [verifiers[key].verdict for key in sorted(verifiers)]


class _Verifier:
    def __init__(self, log: OpenedLog, model: str, version: str) -> None:
        self._log = log
        self._served: LoadedModel | None = None
        self._environments: set[str] = set()
        self._contracts: set[str] = set()
        self.verdict = Verdict(model, version)
        try:
            self._served = rescoring.open_served(f"{model}:{version}", log.settings)
        except (rescoring.NoModel, IntegrityError) as error:
            self.verdict.absent = str(error)
            return
        self.verdict.engine = self._served.engine.name
        self._compare_files()

    def take(self, records: list[Record]) -> None:
        """Score records of this version again."""
        verdict, served = self.verdict, self._served
        verdict.rows += len(records)
        if served is None:
            return
        for record in records:
            self._compare_surroundings(record)
        whole = [record for record in records if not rescoring.lacks(served.contract, record)]
        verdict.not_stored += len(records) - len(whole)
        for record, result in zip(whole, rescoring.score_rows(served, whole), strict=True):
            if isinstance(result, list):
                verdict.refused += 1
                continue
            recorded = (record.score, record.scores, record.label)
            label = None if result.label is None else str(result.label)
            now = (result.score, rescoring.scores_by_class(served.contract, result), label)
            # Finite doubles are equal exactly where their bits are, but for the sign of 0,
            # which changes no answer.
            if recorded == now:
                verdict.equal += 1
                continue
            verdict.different += 1
            if len(verdict.differences) < _SHOWN:
                verdict.differences.append(Difference(record.id, recorded, now))

    def _compare_files(self) -> None:
        verdict, served = self.verdict, self._served
        registered = self._log.registration(verdict.model, verdict.version)
        if registered is None:
            verdict.changes.append("model: it was never registered, so its files may be others")
        elif served is not None and registered.digest != served.stored.provenance.digest:
            verdict.changes.append(
                f"model files: digest {registered.digest[:12]} then, "
                f"{served.stored.provenance.digest[:12]} now"
            )

    def _compare_surroundings(self, record: Record) -> None:
        served = self._served
        assert served is not None  # noqa: S101 - for the type checker; `take` has looked
        if record.contract not in self._contracts:
            self._contracts.add(record.contract)
            if record.contract != served.contract.hash:
                self.verdict.changes.append(
                    f"contract: {record.contract[:12]} then, {served.contract.hash[:12]} now"
                )
        if record.environment not in self._environments:
            self._environments.add(record.environment)
            self.verdict.changes += self._environment(record.environment, served)

    def _environment(self, environment_id: str, served: LoadedModel) -> Iterator[str]:
        current = environment.describe(served.engine.name)
        if environment_id == current.id:
            return
        then = self._log.environment(environment_id)
        if then is None:
            yield f"environment: {environment_id} was never registered"
            return
        before, after = _flatten(then.document), _flatten(current.document)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                yield (
                    f"environment: {name} {before.get(name, 'absent')} then, "
                    f"{after.get(name, 'absent')} now"
                )


def _flatten(document: msgspec.Raw) -> dict[str, str]:
    parts: dict[str, str] = {}
    for name, value in msgspec.json.decode(document, type=dict[str, object]).items():
        if isinstance(value, dict):
            parts |= {str(inner): str(one) for inner, one in value.items()}
        else:
            parts[name] = str(value)
    return parts
