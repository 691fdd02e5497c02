"""The model as `mlflow models serve` can serve it: a pyfunc with a typed signature.

MLflow's own LightGBM flavour refuses plain JSON for a model with categories, and answers
labels where it takes it. This wrapper does what a user then writes: it takes the frame
that MLflow hands over and gives probabilities.
`python -m loadtests.peers.apps.mlflow_model FOLDER` writes it below FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from loadtests.peers.apps import scoring

_DTYPES = {
    "float": "double",
    "integer": "long",
    "boolean": "boolean",
    "category": "string",
    "text": "string",
}


class Scorer(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]  # MLflow makes it lazily
    """Frames in, probabilities out."""

    def load_context(self, context: Any) -> None:
        """Load the model in the worker."""
        self.scorer = scoring.load()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
        """Score a frame of one row or more."""
        frame = model_input.astype(object)
        frame = frame.where(frame.notna(), None)
        return self.scorer.score(frame.to_dict("records"))


def main() -> None:
    """Write the MLflow model."""
    target = Path(sys.argv[1])
    inputs = Schema([ColSpec(_DTYPES[f["kind"]], f["name"]) for f in scoring.load().features])
    mlflow.pyfunc.save_model(
        str(target),
        python_model=Scorer(),
        signature=ModelSignature(inputs=inputs),
        # The peer's environment is made from its lock file.
        pip_requirements=["mlflow", "lightgbm"],
    )


if __name__ == "__main__":
    main()
