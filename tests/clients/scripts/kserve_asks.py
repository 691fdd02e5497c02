"""KServe's InferenceRESTClient: health, infer in JSON and in binary, errors.

Run in its own environment: `python kserve_asks.py URL ROWS`. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

DTYPES = {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_}


def inputs_of(
    metadata: dict[str, Any], rows: list[dict[str, Any]], *, is_binary: bool
) -> list[InferInput]:
    """Make one tensor a feature."""
    inputs = []
    for tensor in metadata["inputs"]:
        name, datatype = tensor["name"], tensor["datatype"]
        made = InferInput(name, [len(rows)], datatype)
        values = [row[name] for row in rows]
        if datatype == "BYTES":
            array = np.array(["" if value is None else value for value in values], dtype=object)
        else:
            hollow = [np.nan if value is None else value for value in values]
            array = np.array(hollow, dtype=DTYPES[datatype])
        made.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(made)
    return inputs


async def ask(url: str, given: dict[str, Any]) -> dict[str, Any]:
    """Ask everything, and give what came."""
    model, rows = given["model"], given["rows"]
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    done = []
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    done.append("health of server and model")
    async with httpx.AsyncClient(base_url=url) as plain:
        metadata = (await plain.get(f"/v2/models/{model}")).json()

    scores = {}
    for name, is_binary, outputs in (
        ("binary in, binary out", True, True),
        ("binary in, JSON out", True, False),
        ("JSON in, binary out", False, True),
        ("JSON in, JSON out", False, False),
    ):
        request = InferRequest(
            model_name=model,
            request_id="asked",
            infer_inputs=inputs_of(metadata, rows, is_binary=is_binary),
            request_outputs=[
                RequestedOutput(output, parameters={"binary_data": outputs})
                for output in ("score", "label")
            ],
        )
        answer = await client.infer(url, request, model_name=model)
        assert answer.id == "asked" and answer.model_name == model
        flat = np.asarray(answer.get_output_by_name("score").as_numpy()).flatten().tolist()
        scores[name] = {number: float(score).hex() for number, score in enumerate(flat)}
    done.append("infer with chosen outputs, request id")

    lacking = InferRequest(
        model_name=model, infer_inputs=inputs_of(metadata, rows, is_binary=True)[:2]
    )
    try:
        await client.infer(url, lacking, model_name=model)
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 400 and "is required" in str(error), error
    else:
        raise AssertionError("a request without features was answered")
    done.append("errors with status and message")
    await client.close()
    return {"client": f"kserve {version('kserve')}", "done": done, "scores": scores}


def main() -> None:
    """Print what came."""
    url, path = sys.argv[1:]
    print(json.dumps(asyncio.run(ask(url, json.loads(Path(path).read_text())))))


if __name__ == "__main__":
    main()
