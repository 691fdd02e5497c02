"""What every Python peer shares: the model, strict row types, rows to scores.

Written as a careful user would write it for speed: category codes by dictionary, one
float64 matrix, `Booster.predict` on it with one thread; no pandas.
`PEER_MODEL` names a model folder that `tabserve import` wrote.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightgbm
import numpy as np

if TYPE_CHECKING:
    from pydantic import BaseModel

VARIABLE = "PEER_MODEL"


class Model:
    """One exported model: the booster, the columns in its order, the decision threshold."""

    def __init__(self, folder: Path) -> None:
        contract = json.loads((folder / "contract.json").read_text())
        if contract["task"] != "binary":
            raise SystemExit("the peers are written for a binary model, as the reference is")
        self.features: list[dict[str, Any]] = contract["features"]
        self.threshold: float = contract["threshold"]
        self.classes: list[Any] = contract["classes"]
        self._booster = lightgbm.Booster(model_file=str(folder / "booster.txt"))
        self._columns = [(feature["name"], _codes(feature)) for feature in self.features]

    def encode(self, values: Mapping[str, Any]) -> list[float]:
        """Put a row in the booster's order, as numbers; None is missing."""
        return [
            math.nan
            if (value := values[name]) is None
            else (value if codes is None else codes[value])
            for name, codes in self._columns
        ]

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """Give the probability of the second class for each row."""
        matrix = np.array([self.encode(row) for row in rows], dtype=np.float64)
        scores: list[float] = np.asarray(self._booster.predict(matrix, num_threads=1)).tolist()
        return scores

    def label(self, score: float) -> Any:
        """Turn a score into a class."""
        return self.classes[score >= self.threshold]

    def row_type(self) -> type[BaseModel]:
        """Make the strict pydantic model of a row: enums as Literal, no unknown names."""
        from pydantic import ConfigDict, create_model  # noqa: PLC0415 - only this way needs it

        fields: dict[str, Any] = {}
        for feature in self.features:
            kind = _type(feature)
            nullable = feature["optional"] or feature["kind"] in ("float", "category")
            kind = kind | None if nullable else kind
            fields[feature["name"]] = (kind, None if feature["optional"] else ...)
        config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
        return create_model("Row", __config__=config, **fields)


def load() -> Model:
    """Load the model that the environment names."""
    return Model(Path(os.environ[VARIABLE]))


def _codes(feature: dict[str, Any]) -> dict[Any, float] | None:
    if feature["categories"] is None:
        return None
    return {category: float(code) for code, category in enumerate(feature["categories"])}


def _type(feature: dict[str, Any]) -> Any:
    if feature["kind"] == "category":
        return Literal[tuple(feature["categories"])]
    return {"float": float, "integer": int, "boolean": bool}[feature["kind"]]
