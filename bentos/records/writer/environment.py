"""What computes the scores: the parts that could change one, named and digested."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata

import msgspec

from bentos.records.record import Environment

# The packages on the way from a value to a score. MLflow and pandas only where they are.
_PACKAGES = ("tabserve", "lightgbm", "numpy", "msgspec", "mlflow", "pandas", "scikit-learn")


def describe(engine: str) -> Environment:
    """Describe this process; `engine` is what scores (`bentos.model.engine`)."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    document = msgspec.json.encode(
        {
            "engine": engine,
            "machine": platform.machine(),
            "packages": packages,
            "python": platform.python_version(),
            "system": platform.system(),
        },
        order="deterministic",
    )
    # Twelve digits distinguish all environments of one log.
    return Environment(hashlib.sha256(document).hexdigest()[:12], msgspec.Raw(document))
