"""The OpenAPI document: valid, and about the model that is served."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bentos.errors import PROBLEMS
from bentos.model.contract import Contract, Feature, Profile
from bentos.model.json_batches import BatchReader
from bentos.model.store import StoredModel
from bentos.model.validation import Encoder
from bentos.protocols import openapi, schemas
from bentos.protocols.protocol import Limits
from bentos.protocols.registry import PROTOCOLS
from tests.rows import PLAIN, WIDE, contract_of

KINDS = ("binary", "multiclass", "regression", "booster")

# The schema of errors, by the first segment of a path.
ERRORS = {
    "v2": "InferError",
    **dict.fromkeys(("invocations", "ping", "health", "version"), "MlflowError"),
}


def document_of(contract: Contract) -> dict[str, Any]:
    """The document of a contract as a client reads it."""
    made = openapi.document(contract, "risk", "v7", Limits(500, 1024, 100), PROTOCOLS)
    read: dict[str, Any] = json.loads(msgspec.json.encode(made))
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_valid(kind: str, stored: dict[str, StoredModel]) -> None:
    """The document of every kind of model is valid OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document_of(stored[kind].contract)).validate()


@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
def test_valid_for_any_feature(contract: Contract) -> None:
    """So is that of a contract with every kind of feature."""
    OpenAPIV31SpecValidator(document_of(contract)).validate()


@pytest.mark.parametrize("kind", KINDS)
def test_examples_work(kind: str, stored: dict[str, StoredModel]) -> None:
    """The example of each route is accepted as it stands."""
    contract = stored[kind].contract
    paths = document_of(contract)["paths"]
    reader = BatchReader(Encoder(contract))
    for path in ("/v1/predict", "/v1/predict/batch"):
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        body = json.dumps(content["example"]).encode()
        if path == "/v1/predict":
            assert reader.read_row(body)[1] == []
        else:
            assert not reader.read_instances(body, 10).faults


@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
def test_example_without_a_profile(contract: Contract) -> None:
    """The example is accepted even where nothing is known of the training rows."""
    row = schemas.example_row(contract)
    assert BatchReader(Encoder(contract)).read_row(json.dumps(row).encode())[1] == []
    assert "bonus" not in row


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (Feature("x", "float", "double", profile=Profile(0.0, 10.0, 20.0)), 15.0),
        (Feature("x", "float", "double", profile=Profile(0.0, 0.2, 0.4)), 0.30000000000000004),
        (Feature("x", "integer", "long", profile=Profile(0.0, 3.0, 3.0)), 3),
        (Feature("x", "integer", "long", profile=Profile(0.0, 0.0, 9.0)), 4),
        (Feature("x", "integer", "long", profile=Profile(0.0)), 0),
        (Feature("x", "float", "double"), 0.0),
    ],
)
def test_example_is_in_range(feature: Feature, expected: float) -> None:
    """The example lies in the middle of the training range, and is nobody's row."""
    example = schemas.example_row(contract_of(feature))["x"]
    assert (type(example), example) == (type(expected), expected)


def test_features(stored: dict[str, StoredModel]) -> None:
    """Each feature is shown with its real type, categories, nullability and training range."""
    row = document_of(stored["binary"].contract)["components"]["schemas"]["Row"]
    assert row["additionalProperties"] is False
    # `amount` has gaps in training, so that MLflow's signature lets it be left out.
    assert set(row["required"]) == {"count", "is_member", "colour", "grade", "weight"}
    shown = row["properties"]
    assert shown["colour"]["enum"] == ["blue", "green", "red", None]
    assert shown["colour"]["type"] == ["string", "null"]
    assert (shown["grade"]["enum"], shown["grade"]["type"]) == (
        [3, 5, 7, None],
        ["integer", "null"],
    )
    assert shown["is_member"]["type"] == "boolean"
    assert shown["count"]["type"] == "integer"
    assert (shown["count"]["minimum"], shown["count"]["maximum"]) == (-(2**53), 2**53)
    assert shown["amount"]["description"].startswith("Money, in euro; training range ")
    assert "training range" not in shown["grade"]["description"]


def test_categories_of_other_types() -> None:
    """Categories are shown with the type that they have, if they have one."""
    mixed = Feature("mixed", "category", "string", categories=("a", 1))
    shown = document_of(contract_of(*PLAIN.features, mixed))["components"]["schemas"]["Row"]
    properties = shown["properties"]
    assert properties["share"]["type"] == ["number", "null"]
    assert properties["flag"]["type"] == ["boolean", "null"]
    assert "type" not in properties["mixed"]


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("binary", {"score", "label"}),
        ("multiclass", {"scores", "label"}),
        ("regression", {"score"}),
    ],
)
def test_answers(kind: str, members: set[str], stored: dict[str, StoredModel]) -> None:
    """The answer has the members of the task, with the real classes."""
    contract = stored[kind].contract
    answer = document_of(contract)["components"]["schemas"]["Answer"]
    assert set(answer["required"]) == {"id", "model", *members}
    if "label" in members:
        assert answer["properties"]["label"]["enum"] == list(contract.classes or ())
    if kind == "multiclass":
        assert set(answer["properties"]["scores"]["properties"]) == {"high", "low", "middle"}
    if kind == "binary":
        assert "class 1; the label changes at 0.4" in answer["properties"]["score"]["description"]


def test_classes_of_several_types() -> None:
    """Labels of several types are listed without a type."""
    made = Contract(
        features=PLAIN.features,
        task="binary",
        engine="booster",
        classes=("no", 1),
        threshold=0.5,
    )
    label = document_of(made)["components"]["schemas"]["Answer"]["properties"]["label"]
    assert label == {"enum": ["no", 1]}


def test_problems() -> None:
    """Every problem that a route can answer is listed with its status, in one shape."""
    paths = document_of(PLAIN)["paths"]
    responses = paths["/v1/predict"]["post"]["responses"]
    assert {"200", "400", "408", "413", "415", "422", "503", "504"} <= set(responses)
    known = {str(int(status)) for status, _ in PROBLEMS.values()}
    for path, methods in paths.items():
        error = ERRORS.get(path.split("/")[1], "Problem")
        for method, operation in methods.items():
            if method == "parameters":
                continue
            for status, response in operation["responses"].items():
                if status not in ("200", "202"):
                    assert status in known
                    ((media_type, shape),) = response["content"].items()
                    if (path, media_type) == ("/invocations", "text/plain"):
                        assert status == "415"
                        continue
                    assert shape["schema"]["$ref"] == f"#/components/schemas/{error}"


def test_limits() -> None:
    """The document tells the limits that are set."""
    document = document_of(PLAIN)
    batch = document["components"]["schemas"]["Batch"]
    assert batch["properties"]["instances"]["maxItems"] == 500
    assert "at most 1024 bytes" in document["info"]["description"]


def test_clients_see_how_a_key_is_sent() -> None:
    """Both headers are described; each is one way, and a service without keys needs none."""
    made = document_of(PLAIN)
    ways = made["components"]["securitySchemes"]
    assert ways["bearer"]["scheme"] == "bearer"
    assert ways["apiKey"]["name"] == "X-API-Key"
    assert made["security"] == [{"bearer": []}, {"apiKey": []}, {}]
