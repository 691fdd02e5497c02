"""Tables and answers of MLflow scoring, as its clients write and read them."""

from __future__ import annotations

from typing import Any

from tests.service.driver import Answer

Row = dict[str, Any]

CSV = {"content-type": "text/csv"}

PARQUET = {"content-type": "application/vnd.apache.parquet"}


def predictions_of(answer: Answer) -> list[Any]:
    """The predictions of an answer."""
    assert answer.status == 200, answer.body[:500]
    document = answer.json()
    assert document.keys() == {"predictions"}
    predictions: list[Any] = document["predictions"]
    return predictions


# What is wrong with a table: with its form, or with its columns.
EITHER = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")


def error_of(answer: Answer, status: int, *codes: str) -> str:
    """Assert that an answer is an error in MLflow's shape; give its message."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.keys() == {"error_code", "message"}
    assert document["error_code"] in (codes or ("BAD_REQUEST",))
    message: str = document["message"]
    assert message and "Traceback" not in message and "MARKED" not in message
    return message


def split_of(rows: list[Row]) -> dict[str, Any]:
    """Rows as `dataframe_split`."""
    names = list(rows[0])
    return {"columns": names, "index": [7] * len(rows), "data": [list(r.values()) for r in rows]}


def columns_of(rows: list[Row]) -> dict[str, list[Any]]:
    """Rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}
