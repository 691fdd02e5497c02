"""tritonclient[http]: metadata, health, infer in JSON and in binary, errors.

Run in its own environment: `python tritonclient_asks.py URL ROWS`. Prints one JSON document.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton

DTYPES = {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_}


def inputs_of(
    metadata: dict[str, Any], rows: list[dict[str, Any]], *, is_binary: bool
) -> list[triton.InferInput]:
    """Make one tensor a feature, with the datatype and the rank of the metadata."""
    inputs = []
    for tensor in metadata["inputs"]:
        name, datatype = tensor["name"], tensor["datatype"]
        values = [row[name] for row in rows]
        if datatype == "BYTES":
            array = np.array([["" if value is None else value] for value in values], dtype=object)
        else:
            hollow = [[np.nan if value is None else value] for value in values]
            array = np.array(hollow, dtype=DTYPES[datatype])
        made = triton.InferInput(name, list(array.shape), datatype)
        made.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(made)
    return inputs


def main() -> None:
    """Ask everything, and print what came."""
    url, path = sys.argv[1:]
    given = json.loads(Path(path).read_text())
    model, release, rows = given["model"], given["version"], given["rows"]
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    done = []
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(model) and client.is_model_ready(model, release)
    assert not client.is_model_ready("else")
    done.append("health of server, model and version")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(model, release)
    assert metadata["name"] == model and release in metadata["versions"]
    (entry,) = client.get_model_repository_index()
    assert entry["name"] == model and entry["state"] == "READY"
    done.append("metadata of server and model, repository index")

    scores = {}
    # Its JSON writer refuses NaN: rows with a missing number go as binary tensors.
    whole = [number for number, row in enumerate(rows) if None not in row.values()]
    for name, chosen, is_binary, outputs in (
        ("binary in, binary out", range(len(rows)), True, True),
        ("binary in, JSON out", range(len(rows)), True, False),
        ("JSON in, binary out", whole, False, True),
        ("JSON in, JSON out", whole, False, False),
    ):
        wanted = [
            triton.InferRequestedOutput(output, binary_data=outputs)
            for output in ("score", "label", "id")
        ]
        inputs = inputs_of(metadata, [rows[number] for number in chosen], is_binary=is_binary)
        result = client.infer(model, inputs, release, outputs=wanted, request_id="asked: 1")
        assert result.get_response()["id"] == "asked: 1"
        assert len(set(result.as_numpy("id").flatten().tolist())) == len(chosen)
        assert result.as_numpy("label").shape == (len(chosen), 1)
        scores[name] = {
            number: score.hex()
            for number, score in zip(
                chosen, result.as_numpy("score").flatten().tolist(), strict=True
            )
        }
    result = client.infer(model, inputs_of(metadata, rows, is_binary=True))
    assert result.as_numpy("score").shape == (len(rows), 1)
    done.append("infer with and without version, chosen outputs, request id")
    result = client.infer(
        model, inputs_of(metadata, rows, is_binary=True), request_compression_algorithm="gzip"
    )
    assert result.as_numpy("score").shape == (len(rows), 1)
    done.append("a body in gzip")

    try:
        client.infer(model, inputs_of(metadata, rows, is_binary=True)[1:3])
    except triton.InferenceServerException as error:
        assert error.status() == "400" and "is required" in error.message(), error
    else:
        raise AssertionError("a request without features was answered")
    try:
        client.infer("else", inputs_of(metadata, rows, is_binary=True))
    except triton.InferenceServerException as error:
        assert error.status() == "404", error
    done.append("errors with status and message")
    document = {"client": f"tritonclient {version('tritonclient')}", "done": done, "scores": scores}
    print(json.dumps(document))


if __name__ == "__main__":
    main()
