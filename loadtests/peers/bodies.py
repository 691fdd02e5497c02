"""What each kind of server is sent, and where the scores stand in its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def encode(rows: Sequence[Row], contract: Mapping[str, Any]) -> list[float | None]:
    """Put rows as one flat list of numbers in the booster's order: what MLServer is sent.

    A missing value is null: its parser takes no NaN, and numpy makes one of it.
    """
    flat: list[float | None] = []
    for row in rows:
        for feature in contract["features"]:
            value = row[feature["name"]]
            if value is not None and feature["categories"] is not None:
                value = feature["categories"].index(value)
            flat.append(None if value is None else float(value))
    return flat


def one(rows: Sequence[Row], _: Mapping[str, Any]) -> Any:
    """The body of `/v1/predict`: the row itself."""
    return rows[0]


def instances(rows: Sequence[Row], _: Mapping[str, Any]) -> Any:
    """The body of `/v1/predict/batch`."""
    return {"instances": rows}


def tensor(rows: Sequence[Row], contract: Mapping[str, Any]) -> Any:
    """One tensor of all rows, by position: what MLServer's LightGBM runtime takes."""
    shape = [len(rows), len(contract["features"])]
    data = encode(rows, contract)
    return {"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": data}]}


def named_tensors(rows: Sequence[Row], contract: Mapping[str, Any]) -> Any:
    """One tensor a feature, as the Open Inference Protocol's `pd` has them."""
    inputs = [
        {
            "name": feature["name"],
            "shape": [len(rows), 1],
            "datatype": _datatype(feature),
            "data": [row[feature["name"]] for row in rows],
        }
        for feature in contract["features"]
    ]
    return {"inputs": inputs}


def _datatype(feature: Mapping[str, Any]) -> str:
    kinds = {type(category) for category in feature.get("categories") or ()}
    if kinds:
        return "BYTES" if kinds == {str} else "INT64" if kinds == {int} else "FP64"
    return {"float": "FP64", "integer": "INT64", "boolean": "BOOL"}.get(feature["kind"], "BYTES")


def first_output(answer: Any) -> list[float]:
    """The scores of an infer answer: of several classes the last, as in the exported rows."""
    output = answer["outputs"][0]
    # MLServer leaves the second dimension out where it is one.
    width = output["shape"][1] if len(output["shape"]) > 1 else 1
    scores: list[float] = output["data"][width - 1 :: width]
    return scores


def records(rows: Sequence[Row], contract: Mapping[str, Any]) -> Any:
    """MLflow's rows by name, asked for probabilities where there are classes."""
    return {"dataframe_records": rows, **probabilities(contract)}


def probabilities(contract: Mapping[str, Any]) -> dict[str, Any]:
    """The part of MLflow's body that asks for probabilities; a regression has none."""
    is_regression = contract.get("classes", True) is None
    return {} if is_regression else {"params": {"predict_method": "predict_proba"}}


def predictions(answer: Any) -> list[float]:
    """The scores of our batch answer."""
    return [score(prediction) for prediction in answer["predictions"]]


def all_scores(answer: Any) -> list[float]:
    """The scores of a list of answers like ours."""
    return [score(prediction) for prediction in answer]


def outputs(answer: Any) -> list[float]:
    """The scores of MLflow's answer to a model that gives one, or one for each class: the last."""
    return [one[-1] if isinstance(one, list) else one for one in answer["predictions"]]


def score(prediction: Mapping[str, Any]) -> Any:
    """The score of our answer: of several classes the last, as in the exported rows."""
    scores = prediction.get("scores")
    return prediction["score"] if scores is None else list(scores.values())[-1]
