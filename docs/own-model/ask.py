"""Ask a running service for scores of the rows of a CSV, then report the outcomes.

python ask.py held-out.csv late http://127.0.0.1:3000
"""

import json
import sys
import time

import httpx
import pandas as pd

path, target, url = sys.argv[1:]
table = pd.read_csv(path)

with httpx.Client(base_url=url, timeout=60) as client:
    model = client.get("/v1/model").json()
    names = [feature["name"] for feature in model["features"]]
    # Missing values become null.
    rows = json.loads(table[names].to_json(orient="records"))
    ids = []
    for start in range(0, len(rows), 1000):
        answer = client.post("/v1/predict/batch", json={"instances": rows[start : start + 1000]})
        ids += [row.get("id") for row in answer.raise_for_status().json()["predictions"]]
    scored = [(name, outcome) for name, outcome in zip(ids, table[target], strict=True) if name]
    print(f"{model['name']}:{model['version']} scored {len(scored)} of {len(rows)} rows")

    # The log is written a moment after the answer; an outcome that comes earlier is refused.
    time.sleep(2)
    outcomes = [{"id": name, "outcome": int(outcome)} for name, outcome in scored]
    recorded = 0
    for start in range(0, len(outcomes), 1000):
        answer = client.post("/v1/feedback", json=outcomes[start : start + 1000])
        results = answer.raise_for_status().json()["results"]
        recorded += sum(result.get("status") == "recorded" for result in results)
    print(f"{recorded} outcomes recorded")
