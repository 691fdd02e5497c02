"""The client examples of the protocols' pages work as they stand."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.service.process import Server

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", ["open-inference.md", "mlflow.md"])
def test_examples(page: str, two_workers: Server) -> None:
    """Each example that needs httpx alone runs; `make test-clients` runs the others."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    chosen = [block for block in blocks if block.startswith("import httpx")]
    assert chosen and len(blocks) == 2
    for block in chosen:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = block.replace("3000", str(two_workers.port))
            exec(code, {})  # noqa: S102 - the project's own page
        assert "score" in printed.getvalue() or "predictions" in printed.getvalue()
