"""A service behind another one: `bentoml.depends` on the same host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.driver import ROOT
from tests.service.process import server

CALLER = """
from typing import Any

import bentoml

from service import TabularModel


@bentoml.service
class Caller:
    model = bentoml.depends(TabularModel)

    @bentoml.api
    async def ask(self, row: dict[str, Any]) -> dict[str, Any]:
        return await self.model.to_async.predict(row)

    @bentoml.api
    def ask_plainly(self, row: dict[str, Any]) -> dict[str, Any]:
        return self.model.to_sync.predict(row)

    @bentoml.api
    async def ask_many(self, rows: list[Any]) -> dict[str, Any]:
        return await self.model.to_async.predict_batch(instances=rows)

    @bentoml.api
    async def ask_badly(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self.model.to_async.predict(row)
        except bentoml.exceptions.BentoMLException as error:
            return {"status": int(error.error_code), "text": str(error)}
"""


def test_behind_another(
    quick: dict[str, str], rows: list[dict[str, Any]], scores: Any, tmp_path: Path
) -> None:
    """Another service calls ours as methods; a bad row is an error there, not an answer."""
    folder = tmp_path / "caller"
    folder.mkdir()
    (folder / "caller.py").write_text(CALLER)
    with server(
        tmp_path,
        target=["caller:Caller"],
        working_dir=folder,
        TABSERVE_MODEL=quick["binary"],
        PYTHONPATH=str(ROOT),
    ) as started:
        started.wait_until("/readyz", 200)
        for path in ("/ask", "/ask_plainly"):
            answer = started.post(path, {"row": rows[0]})
            assert answer.status == 200, answer.body
            assert answer.json()["score"] == pytest.approx(scores[0], abs=1e-12)
        batch = started.post("/ask_many", {"rows": [*rows[:3], {}]}).json()["predictions"]
        assert [each.get("score") for each in batch[:3]] == pytest.approx(
            scores[:3].tolist(), abs=1e-12
        )
        assert "error" in batch[3]
        bad = started.post("/ask_badly", {"row": {**rows[0], "count": "many"}}).json()
        assert bad["status"] == 422
        assert "invalid-features" in bad["text"] and "/count" in bad["text"]
        assert started.stop() == 0
