"""Golden rows: the scores that the model gave when it was trained, and gives still.

`python -m bentos.model.golden MODEL_DIR` scores them with MLflow's own loader and prints the
scores as JSON. The service runs it as a process of its own, so that a worker never
carries MLflow in memory.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import IntegrityError
from bentos.model.engines.predictor import Scores
from bentos.model.layout import CONTRACT, FOLDER
from bentos.model.validation import EncodedRow

FILE = "golden.json"

# The largest difference that is no difference, absolute for scores up to one, relative
# beyond: doubles summed over some hundred trees in the same order agree to the last bits.
TOLERANCE = 1e-12
# The same for scores computed in float32, whose last bit is 6e-8: another processor's
# exponential may round it the other way.
TOLERANCE_FLOAT32 = 5e-7


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows as a client would send them, each with its scores: one, or one a class.

    `is_generated`: whether they were drawn when the model was imported, as none were
    logged with it. They show that serving gives what the model gave then. `tolerance`: as
    TOLERANCE; larger where the model itself scores a row less exactly with other rows.
    """

    rows: list[msgspec.Raw]
    scores: list[list[float]]
    is_generated: bool = False
    tolerance: float = TOLERANCE


def read(data: bytes) -> Golden:
    """Read golden rows. Raises IntegrityError where the file is not one."""
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{FILE} cannot be read: {error}") from None
    if len(golden.rows) != len(golden.scores) or not golden.rows:
        raise IntegrityError(f"{FILE} has no rows, or another number of rows than of scores")
    if len({len(scores) for scores in golden.scores}) != 1:
        raise IntegrityError(f"{FILE} has rows with different numbers of scores")
    return golden


def are_close(scores: Scores, expected: Scores, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Whether scores of one shape are equal within a tolerance, each. A NaN equals nothing."""
    off = np.abs(scores - expected)
    return np.asarray(off <= tolerance * np.maximum(1.0, np.abs(expected)))


def check(golden: Golden, scores: Scores, path: str) -> None:
    """Compare scores, float64 of shape (rows,) or (rows, classes), with the golden ones.

    Raises IntegrityError naming the first row that is off by more than their tolerance; `path`
    says who scored.
    """
    expected = np.array(golden.scores, dtype=np.float64)
    actual = scores.reshape(len(scores), -1)
    if actual.shape != expected.shape:
        raise IntegrityError(
            f"golden rows have scores of shape {expected.shape}, {path} gave {actual.shape}"
        )
    off = ~are_close(actual, expected, golden.tolerance)
    if off.any():
        row = int(np.flatnonzero(off.any(axis=1))[0])
        raise IntegrityError(
            f"golden row {row} of {len(expected)}: {path} gives another score than the model "
            f"gave in training ({int(off.any(axis=1).sum())} rows differ)"
        )


def parse_scores(output: bytes) -> Scores:
    """Read what `main` printed: float64 of shape (rows,) or (rows, classes); () for null.

    Only the last line: a library may have printed before.
    """
    return np.array(msgspec.json.decode(output.strip().rpartition(b"\n")[2]), dtype=np.float64)


def encode_rows(
    golden: Golden, read_row: Callable[[bytes], tuple[EncodedRow, object]]
) -> list[EncodedRow]:
    """Take golden rows through the way of a request body."""
    return [read_row(bytes(row))[0] for row in golden.rows]


def main(arguments: Sequence[str]) -> None:
    """Score the golden rows of a model folder with MLflow's loader; print JSON scores.

    Prints null where loading would run code that came with the model: a model that is served
    without it must not start it for a proof.
    """
    from bentos.model import contract  # noqa: PLC0415 - a worker never loads it
    from bentos.model.engines import flavors, model_code, pyfunc  # noqa: PLC0415 - a worker never loads it
    from bentos.model.frame import Framer  # noqa: PLC0415 - a worker never loads it
    from bentos.model.json_rows import RowReader  # noqa: PLC0415 - a worker never loads it
    from bentos.model.validation import Encoder  # noqa: PLC0415 - a worker never loads it

    model_dir = Path(arguments[0])
    if model_code.find(model_dir):
        sys.stdout.write("null\n")
        return
    served = contract.load((model_dir / FOLDER / CONTRACT).read_bytes())
    golden = read((model_dir / FOLDER / FILE).read_bytes())
    rows = encode_rows(golden, RowReader(Encoder(served)).read_row)
    call = flavors.load(model_dir).call
    scores = pyfunc.PyfuncPredictor(served, call).predict(Framer(served).frame(rows))
    sys.stdout.write(msgspec.json.encode(scores.tolist()).decode() + "\n")


if __name__ == "__main__":
    # A million objects of MLflow and friends, walked again and again and once more at the end,
    # were a quarter of this process's time; it ends before it could fill the memory.
    gc.disable()
    main(sys.argv[1:])
    gc.freeze()
