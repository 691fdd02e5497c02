"""What a model accepts and answers: features, classes, decision.

The contract is the one description that validation, documentation, drift jobs and
clients share. It is plain data: no I/O, no clock, no framework. `derive.py` makes one,
`validation.py` applies it, `compatibility.py` compares two.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Literal

import msgspec

Kind = Literal["float", "integer", "boolean", "category", "text"]
Task = Literal["binary", "multiclass", "regression"]
# "booster": LightGBM's text. "trees": XGBoost's or CatBoost's file, scored by lignum alone.
Engine = Literal["booster", "trees", "pyfunc"]
Category = str | int | float | bool

SCHEMA_VERSION = 1

# MLflow's column types, by the kind of JSON value that stands for them.
KIND_BY_DTYPE: dict[str, Kind] = {
    "double": "float",
    "float": "float",
    "long": "integer",
    "integer": "integer",
    "boolean": "boolean",
    "string": "text",
}

# A booster computes in float64, which holds every integer up to 2**53 exactly (IEEE 754).
INTEGER_LIMITS = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**53), 2**53)}

# The largest finite float32: a bigger number would become infinite in a `float` column.
FLOAT32_MAX = 3.4028234663852886e38


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What training saw of a feature, from the reference sample.

    `minimum`, `maximum`: of the values present, in the feature's own unit; None where
    there is no order (categories, text) or no value at all.
    `missing_rate`: share of rows without a value, in [0, 1].
    """

    missing_rate: float
    minimum: float | None = None
    maximum: float | None = None


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One named input.

    `dtype`: the column type of MLflow's signature. `categories`: in the order of their
    codes, for kind "category" only. `optional`: the key may be left out, which means
    missing.
    """

    name: str
    kind: Kind
    dtype: str
    optional: bool = False
    categories: tuple[Category, ...] | None = None
    description: str = ""
    profile: Profile | None = None

    @property
    def is_nullable(self) -> bool:
        """Whether JSON null is accepted: LightGBM knows a missing float and a missing category."""
        return self.optional or self.kind in ("float", "category")

    @property
    def interface(self) -> dict[str, object]:
        """The part that a client can notice: no descriptions, no training profile."""
        return {
            "name": self.name,
            "kind": self.kind,
            "dtype": self.dtype,
            "optional": self.optional,
            "nullable": self.is_nullable,
            "categories": None if self.categories is None else list(self.categories),
        }


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A model's whole interface, in the order in which it was trained.

    `classes`: labels in the order of the scores; None for a regression. For a binary
    task `score` is the probability of `classes[1]` and `threshold` turns it into a label.
    """

    features: tuple[Feature, ...]
    task: Task
    engine: Engine
    classes: tuple[Category, ...] | None = None
    threshold: float | None = None
    threshold_method: str = ""
    schema_version: int = SCHEMA_VERSION

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the interface alone: equal exactly where no client could tell.

        The order of features and of categories is none of a client's business; the order
        of classes is, as `score` belongs to the second.
        """
        interface = {
            "features": [
                {**feature.interface, "categories": _sorted(feature.categories)}
                for feature in sorted(self.features, key=lambda feature: feature.name)
            ],
            "task": self.task,
            "classes": None if self.classes is None else list(self.classes),
        }
        return hashlib.sha256(msgspec.json.encode(interface, order="deterministic")).hexdigest()


def _sorted(categories: tuple[Category, ...] | None) -> list[Category] | None:
    if categories is None:
        return None
    return sorted(categories, key=msgspec.json.encode)


def dump(contract: Contract) -> bytes:
    """Write a contract as JSON, the same bytes for the same contract."""
    return msgspec.json.format(msgspec.json.encode(contract), indent=2) + b"\n"


def load(data: bytes) -> Contract:
    """Read a contract. Raises ValueError for JSON that is not one of this schema version."""
    try:
        contract = msgspec.json.decode(data, type=Contract)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a contract: {error}") from None
    if contract.schema_version != SCHEMA_VERSION:
        raise ValueError(
            f"contract schema version {contract.schema_version}, this tabserve reads "
            f"{SCHEMA_VERSION}: import the model again"
        )
    return contract
