"""Rows against the contract: checked, put in order by name, encoded to numbers.

Pure. Two ways lead to the same encoded row:

- `row_types` and `encode`: a typed decoder makes a struct from good input at once;
- `validate`: looks at plain decoded values and lists every fault of a row.

What the first accepts, the second accepts with the same result; what the first cannot
take is left to the second. A property test holds them together.

An encoded row is a tuple in contract order: float, int or bool for numbers, the
category's code as float, str for text, None for missing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

import msgspec

from bentos.errors import Fault
from bentos.model.contract import INTEGER_LIMITS, Contract
from bentos.model.values.checks import EncodedValue, check_for, explain

EncodedRow = tuple[EncodedValue, ...]
UnknownCategory = Literal["refuse", "missing"]

_NOT_FOUND = object()

# Wrong names listed one by one, of one row; what is beyond is counted in one fault.
MAX_NAMES = 20
# Wrong names of one request for which the nearest is looked up: each takes milliseconds
# where a model has hundreds of features.
MAX_HINTS = 5


class JsonObject(dict[str, object]):
    """A decoded JSON object that remembers which keys came twice, by position."""

    duplicates: tuple[tuple[int, str], ...] = ()


def escape_pointer(name: str) -> str:
    """Write a name as one token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


class Hints:
    """Finds the nearest known names, for a limited number of unknown ones.

    The search is far dearer than the rest of a row's checks, so one request gets few.
    """

    def __init__(self, budget: int = MAX_HINTS) -> None:
        self._budget = budget
        self._found: dict[str, str | None] = {}

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The known name nearest to an unknown one, if one is near and the budget lasts."""
        if name not in self._found and len(self._found) < self._budget:
            # Longer names are nobody's typing mistake.
            matches = difflib.get_close_matches(name, known, n=1) if len(name) <= 100 else []
            self._found[name] = matches[0] if matches else None
        return self._found.get(name)


class Encoder:
    """Turns rows into encoded rows under one contract."""

    def __init__(self, contract: Contract, unknown_category: UnknownCategory = "refuse") -> None:
        self.contract = contract
        self.unknown_category = unknown_category
        # (field, category -> code) of each feature with categories. A code is the
        # category's place in the list that training kept (LightGBM's pandas_categorical).
        self._codes: tuple[tuple[str, dict[object, float | None]], ...] = tuple(
            (
                f"f{position}",
                {None: None} | {value: float(code) for code, value in enumerate(categories)},
            )
            for position, feature in enumerate(contract.features)
            if (categories := feature.categories) is not None
        )
        self._optional = tuple(
            f"f{position}" for position, feature in enumerate(contract.features) if feature.optional
        )
        self._integers = tuple(
            (f"f{position}", *INTEGER_LIMITS[feature.dtype])
            for position, feature in enumerate(contract.features)
            if feature.kind == "integer"
        )
        self._colons = tuple(_colon_counts(contract))
        self._checks = tuple(check_for(feature) for feature in contract.features)

    def encode(self, row: msgspec.Struct) -> EncodedRow | None:
        """Encode a struct of `row_type`, which is used up by it.

        None where a category is unknown: then `validate` decides.
        """
        # In place: the struct was made for this, and a tuple is made of it but once.
        for field in self._optional:
            if getattr(row, field) is msgspec.UNSET:
                setattr(row, field, None)
        try:
            for field, codes in self._codes:
                setattr(row, field, codes[getattr(row, field)])
        except KeyError:
            return None
        return msgspec.structs.astuple(row)

    def encode_lenient(self, row: msgspec.Struct) -> EncodedRow | None:
        """Encode a struct of the lenient `row_type` as `encode` does."""
        for field, low, high in self._integers:
            value = getattr(row, field)
            if isinstance(value, float):
                if not value.is_integer() or not low <= value <= high:
                    return None
                setattr(row, field, int(value))
        return self.encode(row)

    def count_colons(self, row: msgspec.Struct) -> int:
        """Count the colons inside the names and the texts of a struct of `row_type`."""
        found = 0
        for field, in_name, in_values in self._colons:
            value = getattr(row, field)
            if value is msgspec.UNSET:
                continue
            found += in_name
            if in_values is None:
                found += value.count(":") if isinstance(value, str) else 0
            else:
                found += in_values.get(value, 0)
        return found

    def count_members(self, row: msgspec.Struct) -> int:
        """Count the features that a struct of `row_type` was given."""
        if not self._optional:
            return len(self._checks)
        left_out = sum(getattr(row, field) is msgspec.UNSET for field in self._optional)
        return len(self._checks) - left_out

    def validate(
        self, row: object, pointer: str = "", hints: Hints | None = None
    ) -> tuple[EncodedRow | None, list[Fault]]:
        """Check one decoded JSON value; give the encoded row, or every fault it has.

        With `unknown_category="missing"` an unknown category is encoded as missing and
        still reported, as the only kind of fault that comes beside a row.
        """
        if not isinstance(row, dict):
            return None, [Fault(pointer, "wrong_type", "must be an object of named features")]
        faults: list[Fault] = []
        tolerated: list[Fault] = []
        faults.extend(self._unknown_names(row, pointer, hints or Hints()))
        values: list[EncodedValue] = []
        for feature, check in zip(self.contract.features, self._checks, strict=True):
            place = f"{pointer}/{escape_pointer(feature.name)}"
            value = row.get(feature.name, _NOT_FOUND)
            if value is _NOT_FOUND:
                if not feature.optional:
                    faults.append(Fault(place, "missing", "is required"))
                values.append(None)
                continue
            encoded, code = check(value)
            if code is None:
                values.append(encoded)
                continue
            fault = Fault(place, code, explain(feature, code))
            if code == "unknown_category" and self.unknown_category == "missing":
                tolerated.append(fault)
                values.append(None)
            else:
                faults.append(fault)
        if faults:
            return None, faults
        return tuple(values), tolerated

    def _unknown_names(self, row: dict[str, object], pointer: str, hints: Hints) -> Iterable[Fault]:
        known = self.contract.positions
        # A name that is not the model's is the client's own text: it is placed by number.
        unknown = [(number, name) for number, name in enumerate(row, start=1) if name not in known]
        for number, name in unknown[:MAX_NAMES]:
            nearest = hints.nearest(str(name), known)
            hint = f"; the nearest is '{nearest}'" if nearest else ""
            detail = f"member {number} is not a feature of this model{hint}"
            yield Fault(pointer, "unknown_feature", detail)
        duplicates = row.duplicates if isinstance(row, JsonObject) else ()
        for number, name in duplicates[:MAX_NAMES]:
            place = f"{pointer}/{escape_pointer(name)}" if name in known else pointer
            yield Fault(place, "duplicate_key", f"member {number} repeats an earlier key")
        more = max(0, len(unknown) - MAX_NAMES) + max(0, len(duplicates) - MAX_NAMES)
        if more:
            yield Fault(pointer, "unknown_feature", f"{more} more members are wrong in these ways")


def _colon_counts(
    contract: Contract,
) -> Iterable[tuple[str, int, dict[object, int] | None]]:
    """Each feature that can bring colons: its field, those of its name, and of its categories.

    None in place of the categories: any text may come.
    """
    for position, feature in enumerate(contract.features):
        in_name = feature.name.count(":")
        in_values: dict[object, int] = {
            value: value.count(":")
            for value in feature.categories or ()
            if isinstance(value, str) and ":" in value
        }
        if feature.kind == "text":
            yield f"f{position}", in_name, None
        elif in_name or in_values:
            yield f"f{position}", in_name, in_values
