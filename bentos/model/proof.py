"""The proof that an accelerator must pass before it serves, in a process of its own.

`python -m bentos.model.proof MODEL_DIR` scores golden rows and random rows with LightGBM and
with the accelerator, compares them to the last bit, and measures both. It prints one JSON
string: why the accelerator must not serve, or nothing in it. A crash ends that process
alone; `why_not` turns whatever went wrong into one line.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.child import child_environment
from bentos.model import contract, golden
from bentos.model.engines.lightgbm import NativeBooster
from bentos.model.engines.predictor import Scores
from bentos.model.engines.probing import random_matrices
from bentos.model.engines.trees import Forest, Unsupported, parse
from bentos.model.frame import Framer
from bentos.model.json_rows import RowReader
from bentos.model.layout import BOOSTER, CONTRACT, FOLDER, TREES
from bentos.model.validation import Encoder

# Some seconds are usual for 1,500 trees of 63 leaves on a busy core. With more, the pod would be
# late, while LightGBM can serve at once.
TIMEOUT_SECONDS = 60.0
# Both are measured on these numbers of rows, and the best of a few runs counts. A busy
# machine makes either late by chance, so only a clear loss is one.
_MEASURED_ROWS = (1, 256)
_MEASURED_RUNS = 5
_MOST_TIMES_SLOWER = 1.5

Matrix = NDArray[np.float64]
Score = Callable[[Matrix], Scores]


def why_not(model_dir: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
    """Run the proof. Gives None where the accelerator may serve, else the reason in one line."""
    command = [sys.executable, "-m", "bentos.model.proof", str(model_dir)]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and a folder of the store
            command,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        return f"its proof took longer than {timeout_seconds:g} seconds"
    except OSError as error:
        return f"its proof could not be started ({error.strerror})"
    if done.returncode < 0:
        return f"it crashed during its proof ({signal.Signals(-done.returncode).name})"
    try:
        # Only the last line: a library may have printed before.
        return msgspec.json.decode(done.stdout.strip().rpartition(b"\n")[2], type=str) or None
    except msgspec.MsgspecError:
        return f"its proof ended with exit code {done.returncode} and no result"


def compare(model_dir: Path) -> str:
    """Compare and measure. Gives why the accelerator must not serve, or an empty string."""
    try:
        # Here, so that a missing or broken library is one of the reasons.
        from bentos.model.engines.accelerated import AcceleratedPredictor  # noqa: PLC0415 - a worker never loads it
    except ImportError:
        return "the package pylignum is not installed here"
    if (model_dir / FOLDER / TREES).is_file():
        return _compare_recorded(model_dir)
    data = (model_dir / FOLDER / BOOSTER).read_bytes()
    text = data.decode()
    booster = NativeBooster(text)
    try:
        accelerated = AcceleratedPredictor(data, booster.features)
        forest = parse(text)
    except Unsupported as error:
        return str(error)
    except Exception as error:
        return f"the package pylignum refuses this model ({type(error).__name__})"
    try:
        return _compare(model_dir, forest, booster.predict, accelerated.score)
    except Exception as error:
        return f"it fails on the rows of its proof ({type(error).__name__})"


def _compare(model_dir: Path, forest: Forest, expected: Score, given: Score) -> str:
    for matrix in _golden_matrix(model_dir):
        if reason := difference(expected, given, matrix, "golden"):
            return reason
    for matrix in random_matrices(forest):
        if reason := difference(expected, given, matrix, "random"):
            return reason
    return slowness(expected, given, matrix)


def _compare_recorded(model_dir: Path) -> str:
    """Compare with the scores that the golden rows have: together and alone, to the last bit.

    For a model whose library is not there, or need not be.
    """
    from bentos.model.engines.boosted import BoostedPredictor  # noqa: PLC0415 - a worker never loads it

    made = contract.load((model_dir / FOLDER / CONTRACT).read_bytes())
    try:
        predictor = BoostedPredictor.of_folder(model_dir, made)
    except Exception as error:
        return f"the package pylignum refuses this model ({type(error).__name__})"
    known = golden.read((model_dir / FOLDER / golden.FILE).read_bytes())
    framer, expected = Framer(made), np.array(known.scores, dtype=np.float64)
    rows = golden.encode_rows(known, RowReader(Encoder(made)).read_row)
    try:
        together = predictor.predict(framer.frame(rows))
        alone = np.concatenate([predictor.predict(framer.frame([row])) for row in rows])
    except Exception as error:
        return f"it fails on the rows of its proof ({type(error).__name__})"
    for scores in (together, alone):
        table = scores.reshape(len(scores), -1)
        if table.shape != expected.shape:
            return "it gives scores of another shape than the model itself"
        differing = ~(table == expected).all(axis=1)
        if differing.any():
            return (
                f"its scores differ from the model's own on {differing.sum()} of {len(rows)} rows"
            )
    return ""


def _golden_matrix(model_dir: Path) -> Iterator[Matrix]:
    path = model_dir / FOLDER / golden.FILE
    if path.is_file():
        made = contract.load((model_dir / FOLDER / CONTRACT).read_bytes())
        rows = golden.encode_rows(golden.read(path.read_bytes()), RowReader(Encoder(made)).read_row)
        yield Framer(made).frame(rows).matrix


def difference(expected: Score, given: Score, matrix: Matrix, what: str) -> str:
    """Compare to the last bit. Gives what differs in one line, or an empty string."""
    right, scores = expected(matrix), given(matrix)
    if right.shape != scores.shape:
        return f"it gives scores of another shape than LightGBM on {what} rows"
    # NaN is equal to nothing: a score that is none is a difference, and LightGBM serves.
    differing = ~(right == scores).reshape(len(right), -1).all(axis=1)
    if differing.any():
        return f"its scores differ from LightGBM's on {differing.sum()} of {len(right)} {what} rows"
    return ""


def slowness(expected: Score, given: Score, matrix: Matrix) -> str:
    """Measure both on a few rows of a matrix. Gives where the second is slower, or nothing."""
    for rows in _MEASURED_ROWS:
        some = np.ascontiguousarray(matrix[:rows])
        usual, seconds = _fastest(expected, some), _fastest(given, some)
        if seconds > _MOST_TIMES_SLOWER * usual:
            return (
                f"it is slower than LightGBM on this model ({seconds * 1e6:.0f} against "
                f"{usual * 1e6:.0f} microseconds for {len(some)} rows)"
            )
    return ""


def _fastest(score: Score, matrix: Matrix) -> float:
    taken = []
    for _ in range(_MEASURED_RUNS):
        started = perf_counter()
        score(matrix)
        taken.append(perf_counter() - started)
    return min(taken)


def main(arguments: Sequence[str]) -> None:
    """Prove the accelerator on one model folder; print the reason against it as JSON."""
    sys.stdout.write(msgspec.json.encode(compare(Path(arguments[0]))).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
