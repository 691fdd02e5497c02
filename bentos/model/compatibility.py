"""What changed between two contracts, and whether a working client could now break. Pure."""

from __future__ import annotations

import msgspec

from bentos.model.contract import Contract, Feature

# A number that fitted the first type fits the second.
_WIDER = {("integer", "long"), ("integer", "double"), ("long", "double"), ("float", "double")}


class Change(msgspec.Struct, frozen=True):
    """One difference. `is_breaking`: a request or a reader that worked could now fail."""

    place: str
    what: str
    is_breaking: bool


def compare(old: Contract, new: Contract) -> list[Change]:
    """List every change of interface from `old` to `new`, in the order of the features."""
    changes: list[Change] = []
    before = {feature.name: feature for feature in old.features}
    after = {feature.name: feature for feature in new.features}
    for name, feature in before.items():
        if name not in after:
            # Unknown names are refused, so a client that still sends it breaks.
            changes.append(Change(name, "removed", True))
        else:
            changes.extend(_compare_features(feature, after[name]))
    for name, feature in after.items():
        if name not in before:
            how = "added, optional" if feature.optional else "added, required"
            changes.append(Change(name, how, not feature.optional))
    changes.extend(_compare_answers(old, new))
    return changes


def _compare_features(old: Feature, new: Feature) -> list[Change]:
    changes: list[Change] = []
    if (old.kind, old.dtype) != (new.kind, new.dtype):
        is_wider = (old.dtype, new.dtype) in _WIDER and "category" not in (old.kind, new.kind)
        is_wider |= old.dtype == new.dtype and (old.kind, new.kind) == ("category", "text")
        what = f"retyped from {old.kind} ({old.dtype}) to {new.kind} ({new.dtype})"
        changes.append(Change(old.name, what, not is_wider))
    if old.categories is not None and new.categories is not None:
        removed = [value for value in old.categories if value not in new.categories]
        added = [value for value in new.categories if value not in old.categories]
        if removed:
            changes.append(Change(old.name, f"categories removed: {_listed(removed)}", True))
        if added:
            changes.append(Change(old.name, f"categories added: {_listed(added)}", False))
    if old.optional != new.optional:
        what = "may be left out" if new.optional else "may no longer be left out"
        changes.append(Change(old.name, what, old.optional))
    if old.is_nullable != new.is_nullable:
        what = "accepts null" if new.is_nullable else "no longer accepts null"
        changes.append(Change(old.name, what, old.is_nullable))
    return changes


def _compare_answers(old: Contract, new: Contract) -> list[Change]:
    changes: list[Change] = []
    if old.task != new.task:
        changes.append(Change("(answer)", f"task changed from {old.task} to {new.task}", True))
    if old.classes != new.classes:
        changes.append(
            Change(
                "(answer)",
                f"classes changed from {_listed(old.classes)} to {_listed(new.classes)}",
                True,
            )
        )
    if old.threshold != new.threshold:
        # Labels move, but every client can still read them.
        changes.append(
            Change("(answer)", f"threshold changed from {old.threshold} to {new.threshold}", False)
        )
    return changes


def _listed(values: object) -> str:
    if values is None:
        return "none"
    return msgspec.json.encode(values).decode()
