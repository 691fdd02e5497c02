"""What every Python peer shares: the model, strict row types, rows to scores.

Written as a careful user would write it for speed: category codes by dictionary, one
matrix, the library's own `predict` on it with one thread; no pandas. A model that only MLflow
can run gets a frame made column by column, and MLflow's check of the frame is left out.
`PEER_MODEL` names a model folder that `tabserve import` wrote.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightgbm
import numpy as np

if TYPE_CHECKING:
    from pydantic import BaseModel

VARIABLE = "PEER_MODEL"


Rows = list[list[Any]]


class Model:
    """One exported model: its library's own object, the columns in its order, the threshold."""

    def __init__(self, folder: Path) -> None:
        contract = json.loads((folder / "contract.json").read_text())
        self.features: list[dict[str, Any]] = contract["features"]
        self.threshold: float = contract["threshold"]
        self.classes: list[Any] | None = contract["classes"]
        self._columns = [(feature["name"], _codes(feature)) for feature in self.features]
        if contract["engine"] == "pyfunc":
            self._score = _frame_scorer(folder, contract)
        else:
            predict = _predictor(folder, contract)
            self._score = lambda rows: predict([self.encode(row) for row in rows])

    def encode(self, values: Mapping[str, Any]) -> list[Any]:
        """Put a row in the booster's order, categories as codes; None is missing."""
        return [
            math.nan
            if (value := values[name]) is None
            else (value if codes is None else codes[value])
            for name, codes in self._columns
        ]

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Give the score of each row: of the second class, of each of many, or the value."""
        scores: list[Any] = self._score(rows).tolist()
        return scores

    def answer(self, score: Any) -> dict[str, Any]:
        """Give the members of an answer."""
        if self.classes is None:
            return {"score": score}
        if isinstance(score, list):
            best = max(range(len(score)), key=score.__getitem__)
            names = map(str, self.classes)
            return {
                "scores": dict(zip(names, score, strict=True)),
                "label": self.classes[best],
            }
        return {"score": score, "label": self.label(score)}

    def answer_type(self) -> type[BaseModel]:
        """Make the pydantic model of an answer."""
        from pydantic import create_model  # noqa: PLC0415 - only this way needs it

        fields: dict[str, Any] = {"score": (float, ...)}
        if self.classes is not None:
            if len(self.classes) > 2:
                fields = {"scores": (dict[str, float], ...)}
            fields["label"] = (type(self.classes[0]), ...)
        return create_model("Answer", **fields)

    def label(self, score: float) -> Any:
        """Turn a score into a class."""
        if self.classes is None:
            return None
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


def _predictor(folder: Path, contract: Mapping[str, Any]) -> Callable[[Rows], Any]:
    """Open the model with its own library: encoded rows in, an array of scores out."""
    if contract["engine"] == "booster":
        booster = lightgbm.Booster(model_file=str(folder / "booster.txt"))
        return lambda rows: np.asarray(
            booster.predict(np.array(rows, dtype=np.float64), num_threads=1)
        )
    path = folder / "trees.model"
    if any(feature["kind"] == "text" for feature in contract["features"]):
        import catboost  # noqa: PLC0415 - this model alone needs it

        model = catboost.CatBoostClassifier()
        model.load_model(str(path), format="cbm")
        return lambda rows: model.predict_proba(rows, thread_count=1)[:, 1]
    import xgboost  # noqa: PLC0415 - this model alone needs it

    trees = xgboost.Booster()
    trees.load_model(bytearray(path.read_bytes()))
    trees.set_param({"nthread": 1})
    return lambda rows: trees.inplace_predict(
        np.array(rows, dtype=np.float32), validate_features=False
    )


def _frame_scorer(
    folder: Path, contract: Mapping[str, Any]
) -> Callable[[Sequence[Mapping[str, Any]]], Any]:
    """Open the model with MLflow's loader of its flavor: rows by name in, an array of scores out.

    MLflow's pyfunc asks a classifier for labels, so scikit-learn's model is asked itself.
    """
    import mlflow.sklearn  # noqa: PLC0415 - in an environment with MLflow only
    import pandas as pd  # noqa: PLC0415 - the same

    model = mlflow.sklearn.load_model(str(folder.parent))
    kinds = {"float": "float64", "integer": "Int64", "boolean": "boolean", "text": "str"}
    dtypes: dict[str, Any] = {
        feature["name"]: pd.CategoricalDtype(feature["categories"])
        if feature["kind"] == "category"
        else kinds[feature["kind"]]
        for feature in contract["features"]
    }

    def score(rows: Sequence[Mapping[str, Any]]) -> Any:
        frame = pd.DataFrame(
            {name: pd.array([row[name] for row in rows], dtype=dt) for name, dt in dtypes.items()}
        )
        if contract["classes"] is None:
            return np.asarray(model.predict(frame))
        scores = np.asarray(model.predict_proba(frame))
        return scores[:, 1] if len(contract["classes"]) == 2 else scores

    return score


def _codes(feature: Mapping[str, Any]) -> dict[Any, float] | None:
    if feature["categories"] is None:
        return None
    return {category: float(code) for code, category in enumerate(feature["categories"])}


def _type(feature: dict[str, Any]) -> Any:
    if feature["kind"] == "category":
        return Literal[tuple(feature["categories"])]
    return {"float": float, "integer": int, "boolean": bool, "text": str}[feature["kind"]]
