"""MLflow's own clients: the scoring client and a deployment client over REST.

Run in its own environment: `python mlflow_asks.py URL ROWS`. Prints one JSON document.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import requests
from mlflow.deployments import PredictionsResponse
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

PROBABILITIES = {"predict_method": "predict_proba"}


def main() -> None:
    """Ask everything, and print what came."""
    url, path = sys.argv[1:]
    given = json.loads(Path(path).read_text())
    rows = given["rows"]
    frame = pd.DataFrame(rows)
    parts = urlsplit(url)
    client = ScoringServerClient(parts.hostname, parts.port)
    client.wait_server_ready()
    assert client.get_version().split(".")[0] == version("mlflow").split(".")[0]
    done = ["ping and version"]

    scores = {}
    labels = client.invoke(frame).get_predictions()
    assert labels.shape == (len(rows), 1)
    answered = client.invoke(frame, params=PROBABILITIES)
    assert isinstance(answered, PredictionsResponse)
    array = answered.get_predictions(predictions_format="ndarray")
    assert array.shape == (len(rows), 2)
    scores["ScoringServerClient, a frame"] = {
        number: score.hex() for number, score in enumerate(array[:, 1].tolist())
    }
    done.append("ScoringServerClient: labels as a frame, probabilities as an array")

    for name, headers, body in (
        ("text/csv", {"Content-Type": "text/csv"}, frame.to_csv(index=False)),
        (
            "Parquet",
            {"Content-Type": "application/vnd.apache.parquet"},
            frame.to_parquet(index=False),
        ),
    ):
        answer = requests.post(f"{url}/invocations", data=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        read = PredictionsResponse.from_json(answer.text).get_predictions()
        assert read.equals(labels), name
        done.append(f"{name}: the same labels")
    for name, body in (
        (
            "dataframe_split",
            {"dataframe_split": json.loads(frame.to_json(orient="split", double_precision=15))},
        ),
        ("dataframe_records", {"dataframe_records": rows}),
        ("inputs", {"inputs": {column: [row[column] for row in rows] for column in frame}}),
        ("instances", {"instances": rows}),
    ):
        answer = requests.post(
            f"{url}/invocations", json={**body, "params": PROBABILITIES}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        if name != "dataframe_split":
            # pandas rounds what it writes there.
            scores[name] = {
                number: pair[1].hex() for number, pair in enumerate(answer.json()["predictions"])
            }
    done.append("each of the four JSON forms")
    answer = requests.post(f"{url}/invocations", json={"inputs": [], "instances": []}, timeout=30)
    assert answer.status_code == 400 and answer.json()["error_code"] == "BAD_REQUEST"
    done.append("errors with error_code and message")
    print(json.dumps({"client": f"mlflow {version('mlflow')}", "done": done, "scores": scores}))


if __name__ == "__main__":
    main()
