"""Every model of the zoo is served to the last bit, accelerated, and its rows are read fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from bentos.model.engine import choose
from bentos.model.json_batches import BatchReader
from bentos.model.scoring import Scorer
from bentos.model.validation import Encoder
from bentos.settings import Settings
from loadtests import zoo
from tests.conftest import ZooModel

_DEFAULTS: dict[str, Any] = {}
_SETTINGS = Settings(**_DEFAULTS)
# Rows are compared one by one and together; each costs pandas milliseconds where it serves.
_ROWS = 200


def test_the_zoo_has_every_kind() -> None:
    """There are at least eight models, and each is trained the same way twice."""
    assert len(zoo.ZOO) >= 8
    first, second = (zoo.train("small").score() for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_model_of_the_zoo(name: str, zoo_model: Callable[[str], ZooModel]) -> None:
    """Imported, it gives its own scores from JSON, on the fast way, by the accelerator."""
    model = zoo_model(name)
    contract = model.stored.contract
    engine = choose(model.stored, _SETTINGS)
    assert (engine.name, engine.reason) == (
        "pyfunc" if name == "texts" else "accelerated",
        "",
    )
    reader = BatchReader(Encoder(contract))
    rows = model.rows(_ROWS)
    table = reader.read_instances(msgspec.json.encode({"instances": rows}), _ROWS)
    alone = [reader.read_row(msgspec.json.encode(row))[0] for row in rows]
    assert alone == list(table.rows)
    assert reader.slow_rows == 0
    scorer = Scorer(contract, engine.predictor)
    assert np.array_equal(scorer.predict(alone), model.animal.score()[:_ROWS])
    assert np.array_equal(scorer.assess(table).scores, model.animal.score()[:_ROWS])
