"""Which peer can serve which model: known before it is started, so that a crash is a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from loadtests.peers.catalogue import Peer


class CannotServe(Exception):
    """A server cannot serve a model, and the message says why; its row of the report has it."""


def fit(peer: Peer, contract: Mapping[str, Any]) -> Peer:
    """Give a server as it serves the model of a contract. Raises CannotServe."""
    if peer.scores is None:
        return peer  # a floor has no model
    if contract["engine"] == "pyfunc":
        if not peer.mlflow_environment:
            raise CannotServe("it scores trees, and this model is run by MLflow")
        return replace(peer, environment=peer.mlflow_environment)
    if peer.has_lightgbm_alone and contract["engine"] != "booster":
        raise CannotServe("its runtime reads LightGBM's models alone")
    return peer
