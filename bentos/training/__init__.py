"""The reference model: data, candidates, evaluation, registration.

The only package that knows of credit. Nothing here is imported by a serving process, and
importing this module alone pulls in no learning library.
"""

from __future__ import annotations

from bentos.errors import TabserveError


class TrainingError(TabserveError):
    """Training cannot go on; one line says why and what to do. It never quotes a cell's value."""
