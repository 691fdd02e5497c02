"""A model is registered with all that its records are read with later."""

from __future__ import annotations

from typing import Any

import pytest

from bentos.model import bundle, contract
from bentos.model.intake import importing
from bentos.model.store import StoredModel
from bentos.serving.registration import register


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "booster"])
def test_what_is_registered(
    kind: str, stored: dict[str, StoredModel], trained: dict[str, Any]
) -> None:
    """Name, version, contract, digest, reference sample, and each feature's own gain."""
    model = stored[kind]
    made = register(model)
    assert (made.model, made.version) == (model.name, model.version)
    assert made.contract == model.contract.hash
    assert contract.load(bytes(made.document)) == model.contract
    assert made.digest == model.provenance.digest
    assert made.metrics == model.provenance.metrics
    reference = bundle.find(model.folder, bundle.REFERENCE)
    assert reference is not None
    assert made.reference == reference.read_bytes()
    booster = getattr(trained[kind], "booster_", trained[kind])
    gains = booster.feature_importance(importance_type="gain")
    assert list(made.importance) == list(model.contract.names)
    assert list(made.importance.values()) == pytest.approx(gains.tolist(), rel=1e-4)


def test_a_model_that_is_no_booster_has_no_gains(pipeline_folder: Any) -> None:
    """A model of another kind is registered without gains, and without a reference it lacks."""
    import bentoml

    from bentos.model import store

    tag = importing.import_model(
        str(pipeline_folder), name="registered-pipeline", trusts_code=True
    ).tag
    made = register(store.open_model(bentoml.models.get(tag)))
    assert made.importance == {}
    assert made.reference is None
