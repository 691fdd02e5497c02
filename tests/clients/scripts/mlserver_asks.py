"""MLServer's own types and codecs as a client: `pd`, `np` and `str`.

Run in its own environment: `python mlserver_asks.py URL ROWS`. Prints one JSON document.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RequestOutput,
)


def main() -> None:
    """Ask everything, and print what came."""
    url, path = sys.argv[1:]
    given = json.loads(Path(path).read_text())
    model, rows = given["model"], given["rows"]
    client = httpx.Client(base_url=url)
    done = []
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 200
    assert client.get(f"/v2/models/{model}/ready").status_code == 200
    assert MetadataServerResponse.model_validate(client.get("/v2").json()).extensions
    metadata = MetadataModelResponse.model_validate(client.get(f"/v2/models/{model}").json())
    assert metadata.name == model and metadata.inputs and metadata.outputs
    done.append("health; metadata into its types")

    def infer(request: InferenceRequest, **options: bool) -> InferenceResponse:
        answer = client.post(
            f"/v2/models/{model}/infer",
            content=request.model_dump_json(**options),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 200, answer.text
        return InferenceResponse.model_validate(answer.json())

    scores = {}
    # Its pandas codec fails on a column of text with a missing value: these rows have none.
    texts = [tensor.name for tensor in metadata.inputs if tensor.datatype == "BYTES"]
    chosen = [n for n, row in enumerate(rows) if all(row[name] is not None for name in texts)]
    frame = pd.DataFrame([rows[number] for number in chosen])
    for name, options in (("pd", {"exclude_none": True}), ("pd, with nulls", {})):
        request = PandasCodec.encode_request(frame, use_bytes=False)
        response = infer(request, **options)
        answered = PandasCodec.decode_response(response)
        assert list(answered.columns) == ["score", "label", "id"]
        scores[name] = {
            number: score.hex()
            for number, score in zip(chosen, answered["score"].tolist(), strict=True)
        }
    done.append("PandasCodec: request and response")

    inputs = []
    for tensor in metadata.inputs:
        values = frame[tensor.name]
        if tensor.name in texts:
            inputs.append(StringCodec.encode_input(tensor.name, values.tolist(), use_bytes=False))
        else:
            inputs.append(NumpyCodec.encode_input(tensor.name, values.to_numpy()))
    request = InferenceRequest(inputs=inputs, outputs=[RequestOutput(name="score")], id="asked")
    response = infer(request, exclude_none=True)
    assert response.id == "asked" and len(response.outputs) == 1
    array = NumpyCodec.decode_output(response.outputs[0])
    assert array.shape == (len(chosen), 1) and array.dtype == np.float64
    scores["np and str"] = {
        number: score.hex() for number, score in zip(chosen, array.flatten().tolist(), strict=True)
    }
    done.append("NumpyCodec and StringCodec, chosen outputs, request id")
    assert StringCodec.decode_output(infer(PandasCodec.encode_request(frame)).outputs[2])
    done.append("StringCodec of an output")
    print(json.dumps({"client": f"mlserver {version('mlserver')}", "done": done, "scores": scores}))


if __name__ == "__main__":
    main()
