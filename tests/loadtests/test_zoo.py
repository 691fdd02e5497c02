"""Every model of the zoo is served to the last bit, accelerated, and its rows are read fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import msgspec
import numpy as np
import pytest

from bentos.model import store
from bentos.model.engine import choose
from bentos.model.intake import importing
from bentos.model.json_rows import RowReader
from bentos.model.scoring import Scorer
from bentos.model.validation import Encoder
from bentos.settings import Settings
from loadtests import zoo

# Enough trees for the kind; the sizes are for the load tests.
_SHARE = 0.1
_DEFAULTS: dict[str, Any] = {}
_SETTINGS = Settings(**_DEFAULTS)
# Rows are compared one by one and together; each costs pandas milliseconds where it serves.
_ROWS = 200


def seconds(work: Callable[[], object]) -> float:
    """The best of three runs, in seconds of this process."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def test_the_zoo_has_every_kind() -> None:
    """There are at least eight models, and each is trained the same way twice."""
    assert len(zoo.ZOO) >= 8
    first, second = (zoo.train("small").score() for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_model_of_the_zoo(name: str, tmp_path: Path) -> None:
    """Imported, it gives its own scores from JSON, on the fast way, by the accelerator."""
    animal = zoo.train(name, _SHARE)
    folder = zoo.log(animal, tmp_path / name)
    # Some of the zoo are pickles, of our own making.
    imported = importing.import_model(str(folder), name=f"zoo-{name}", trusts_code=True)
    stored = store.open_model(bentoml.models.get(imported.tag))
    engine = choose(stored, _SETTINGS)
    assert (engine.name, engine.reason) == (
        "pyfunc" if name == "texts" else "accelerated",
        "",
    )
    reader = RowReader(Encoder(stored.contract))
    rows = [
        {key: None if value != value else value for key, value in row.items()}  # noqa: PLR0124 - NaN
        for row in animal.frame.head(_ROWS).to_dict("records")
    ]
    body = msgspec.json.encode({"instances": rows})
    encoded, _ = reader.read_instances(body, _ROWS)
    alone = [reader.read_row(msgspec.json.encode(row))[0] for row in rows]
    assert alone == encoded
    assert reader.slow_rows == 0
    scores = Scorer(stored.contract, engine.predictor).predict(alone)
    assert np.array_equal(scores, animal.score()[:_ROWS])
    # As a ratio within this process: a busy machine slows both ways.
    fast = seconds(lambda: reader.read_instances(body, _ROWS))
    slow = seconds(lambda: reader.validate_instances(list(rows)))
    assert fast < slow
