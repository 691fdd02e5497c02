"""Every protocol that the service speaks."""

from __future__ import annotations

from bentos.protocols import v1
from bentos.protocols.mlflow_scoring import routes as mlflow_scoring
from bentos.protocols.open_inference import routes as open_inference
from bentos.protocols.protocol import Protocol

# The first one gives the shape of errors on paths that belong to none.
PROTOCOLS: tuple[Protocol, ...] = (
    v1.PROTOCOL,
    open_inference.PROTOCOL,
    mlflow_scoring.PROTOCOL,
)
