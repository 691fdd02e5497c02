"""BentoML as it comes, with an endpoint that does nothing: what its own path costs."""

from __future__ import annotations

import bentoml


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Floor:
    """Answers a constant."""

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML has no types for it
    def predict(self, score: float = 0.5) -> float:
        """Give back what came."""
        return score
