"""LitServe with strict pydantic rows; batching as its documentation shows it.

`python -m loadtests.peers.apps.litserve_app PORT BATCH`: BATCH 1 is without batching.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve  # type: ignore[import-not-found]  # in its own environment only

from loadtests.peers.apps import scoring

Row = scoring.load().row_type()


class Scorer(litserve.LitAPI):  # type: ignore[misc]  # LitServe's class has no types
    """One row a request."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        self.scorer = scoring.load()

    # Without a type LitServe hands over the decoded JSON; with one it makes it a query.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Check one row."""
        return vars(Row.model_validate(request))

    def predict(self, x: Any) -> Any:
        """Score a row, or the rows of a batch."""
        return self.scorer.score(x) if isinstance(x, list) else self.scorer.score([x])[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Make an answer of one score."""
        return self.scorer.answer(output)


def main() -> None:
    """Serve until stopped."""
    port, batch = int(sys.argv[1]), int(sys.argv[2])
    api = (
        Scorer(max_batch_size=batch, batch_timeout=0.001, api_path="/v1/predict")
        if batch > 1
        else Scorer(api_path="/v1/predict")
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, track_requests=False)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
