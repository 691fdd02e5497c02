"""What is read of the server and its model: health, metadata, the list of models. Pure."""

from __future__ import annotations

from typing import Any

from bentos import __version__
from bentos.errors import Problem
from bentos.model.contract import Contract, Feature
from bentos.model.json_rows import encode as to_json
from bentos.model.loading import LoadedModel
from bentos.protocols.open_inference import datatypes, outputs
from bentos.protocols.open_inference.naming import require_known, versions_of
from bentos.protocols.protocol import Call, Reply

# Of tensors: any number of rows, one element each.
_COLUMN = [-1, 1]


def read_server(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Describe the server."""
    extensions = ["binary_tensor_data"]
    return _answer({"name": "tabserve", "version": __version__, "extensions": extensions})


def read_live(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Say that the process answers."""
    return _answer({"live": True})


def read_ready(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Say that the server may get traffic. Raises Problem where it may not."""
    if unready is not None:
        raise unready
    # "live" is the name in the specification's text, "ready" the one that clients read.
    return _answer({"live": True, "ready": True})


def list_models(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """List the models, as KServe does."""
    return _answer({"models": [] if model is None else [model.stored.name]})


def read_index(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """List the models, as Triton's repository does."""
    if model is None:
        return _answer([])
    state = {"state": "READY" if unready is None else "UNAVAILABLE", "reason": ""}
    return _answer([{"name": model.stored.name, "version": model.stored.version, **state}])


def read_model_ready(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Say that the model may get traffic. Raises Problem where it may not, or is unknown."""
    loaded = _require(model, unready, call)
    if unready is not None:
        raise unready
    return _answer({"name": loaded.stored.name, "ready": True})


def read_model(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Describe the model and its tensors. Raises Problem where it is unknown or not loaded."""
    loaded = _require(model, unready, call)
    stored, contract = loaded.stored, loaded.contract
    return _answer(
        {
            "name": stored.name,
            "versions": list(versions_of(loaded)),
            # <project>_<format>, as the specification wants it.
            "platform": f"mlflow_{stored.provenance.flavor or 'model'}",
            "inputs": [_input(feature) for feature in contract.features],
            "outputs": _outputs(contract),
            # Texts only, says the specification's schema.
            "properties": {"task": contract.task, "contract_hash": contract.hash},
        }
    )


def _require(model: LoadedModel | None, unready: Problem | None, call: Call) -> LoadedModel:
    if model is None:
        raise unready or Problem("not-ready", "no model is loaded yet")
    require_known(model, call)
    return model


def _input(feature: Feature) -> dict[str, Any]:
    datatype = datatypes.of_feature(feature)
    tensor: dict[str, Any] = {"name": feature.name, "datatype": datatype, "shape": _COLUMN}
    parameters: dict[str, Any] = {}
    if datatype == "BYTES":
        types = {type(category) for category in feature.categories or ("",)}
        parameters["content_type"] = "str" if types == {str} else "pd_json"
    if feature.optional:
        parameters["optional"] = True
    return {**tensor, "parameters": parameters} if parameters else tensor


def _outputs(contract: Contract) -> list[dict[str, Any]]:
    described = []
    for output in outputs.of_model(contract):
        shape = [-1, output.width]
        tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": shape}
        if output.parameters:
            tensor["parameters"] = output.parameters
        described.append(tensor)
    return described


def _answer(document: object) -> Reply:
    return Reply(to_json(document))
