"""What a number was measured on."""

from __future__ import annotations

import platform
from importlib.metadata import version

_PACKAGES = ("alibi-detect", "torch", "numpy", "scipy", "pandas")


def name_machine() -> str:
    """Architecture, Python, and the packages that count."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{platform.machine()}, Python {platform.python_version()}, {packages}"
