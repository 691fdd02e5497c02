"""The proof that a model is served right, made when it is imported.

Generated and logged rows are scored by MLflow's own loader and on the path of the
server. For a booster of ours both must agree to the last bit; a model that MLflow runs
must score a row alike whether it is alone or with others.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from bentos.errors import IntakeError
from bentos.model import golden
from bentos.model.contract import Contract
from bentos.model.engines.flavors import Loaded
from bentos.model.engines.predictor import BoosterPredictor, Scores
from bentos.model.engines.pyfunc import PyfuncPredictor, scores_of
from bentos.model.frame import Frame, Framer
from bentos.model.intake.rows import SentRows
from bentos.model.intake.task import check_scores
from bentos.model.separation import separate

# Rows of a model that MLflow runs, scored one by one: a call takes milliseconds.
_ALONE = 64
# What a matrix product of many rows may differ from one of a single row, relative.
_ALONE_TOLERANCE = 1e-9
_ALONE_TOLERANCE_FLOAT32 = 1e-4


class Proof(msgspec.Struct, frozen=True):
    """Rows that were scored, as JSON, and their scores: float64 of shape (rows, scores).

    `kept`: positions of the rows among those that were to be proved. `tolerance`: of a
    row's score alone and with others.
    """

    documents: list[msgspec.Raw]
    scores: Scores
    kept: list[int]
    tolerance: float = golden.TOLERANCE


def prove_native(
    contract: Contract, model_text: str, loaded: Loaded, rows: SentRows
) -> Proof | str:
    """Score rows with the model itself and with its booster, together and alone.

    Gives the proof, or in one sentence how the two differ. Raises IntakeError where the
    model cannot score the rows, or gives something else than its task says.
    """
    frame = Framer(contract).frame(rows.encoded)
    try:
        answer = loaded.call(_booster_frame(contract, frame.matrix))
    except Exception as error:
        raise IntakeError(f"MLflow's own loader cannot score rows: {explain(error)}") from error
    theirs = scores_of(answer)
    check_scores(theirs, contract.task, contract.classes, loaded)
    theirs = theirs[:, 1] if contract.task == "binary" and theirs.ndim == 2 else theirs
    predictor = BoosterPredictor(model_text)
    ours = predictor.predict(frame)
    if ours.shape != theirs.shape:
        return f"the booster gives scores of shape {ours.shape}, the model {theirs.shape}"
    off = ~(ours == theirs).reshape(len(ours), -1).all(axis=1)
    if off.any():
        return f"{int(off.sum())} of {len(ours)} rows score differently"
    framer = Framer(contract)
    alone = np.concatenate([predictor.predict(framer.frame([row])) for row in rows.encoded])
    if not np.array_equal(alone, ours):
        return "rows score differently alone and together"
    return _finite(rows, ours)


def prove_pyfunc(contract: Contract, loaded: Loaded, rows: SentRows) -> Proof:
    """Score rows on the path through MLflow, together and alone.

    Rows that the model cannot score are left out. Raises IntakeError where it can score
    none, where a row's score depends on its neighbours, or where the answers are not
    what the task says.
    """
    framer = Framer(contract)
    raw: list[np.dtype[np.generic]] = []

    def call(frame: pd.DataFrame) -> object:
        answer = loaded.call(frame)
        values = answer.to_numpy() if isinstance(answer, pd.DataFrame | pd.Series) else answer
        raw.append(np.asarray(values).dtype)
        check_scores(scores_of(answer), contract.task, contract.classes, loaded)
        return answer

    predictor = PyfuncPredictor(contract, call)
    places = list(range(len(rows.encoded)))
    try:
        together = predictor.predict(framer.frame(rows.encoded))
    except IntakeError:
        raise
    except Exception as error:
        places = _scorable(predictor, framer.frame(rows.encoded))
        if not places:
            raise IntakeError(
                f"the model cannot score its own example rows here ({explain(error)}): install "
                "the packages that it was trained with, and log golden.parquet from the training "
                "frame if that has pandas category columns"
            ) from error
        try:
            together = predictor.predict(framer.frame([rows.encoded[place] for place in places]))
        except Exception as failure:
            raise IntakeError(
                f"the model scores rows one by one and fails on the same rows together "
                f"({explain(failure)})"
            ) from failure
    chosen = np.unique(np.linspace(0, len(places) - 1, _ALONE).astype(int))
    alone = np.concatenate(
        [predictor.predict(framer.frame([rows.encoded[places[place]]])) for place in chosen]
    )
    is_single = all(dtype.kind == "f" and dtype.itemsize <= 4 for dtype in raw)
    tolerance = _ALONE_TOLERANCE_FLOAT32 if is_single else _ALONE_TOLERANCE
    present = np.isfinite(together[chosen])
    if golden.are_close(alone, together[chosen])[present].all():
        tolerance = golden.TOLERANCE
    close = golden.are_close(alone, together[chosen], tolerance) | ~present
    if not close.all():
        off = int((~close.reshape(len(chosen), -1).all(axis=1)).sum())
        raise IntakeError(
            f"the score of a row depends on the rows that are scored with it: {off} of "
            f"{len(chosen)} rows score differently alone and together"
        )
    kept = SentRows(
        [rows.documents[place] for place in places],
        [rows.encoded[place] for place in places],
        [rows.kept[place] for place in places],
    )
    return msgspec.structs.replace(_finite(kept, together), tolerance=tolerance)


def check_logged(proof: Proof, expected: Scores, rows: SentRows) -> None:
    """Hold proved scores against logged ones. Raises IntakeError naming the first other row.

    `expected`: float64 of shape (rows, scores), for the rows as they were logged.
    """
    known = dict(zip(proof.kept, proof.scores, strict=True))
    lost = [number for number in rows.kept if number not in known]
    if lost:
        raise IntakeError(f"the model cannot score golden row {lost[0]}, or gives no number for it")
    differing = [
        number
        for number in rows.kept
        if known[number].shape != expected[number].shape
        or not golden.are_close(known[number], expected[number], proof.tolerance).all()
    ]
    if differing:
        raise IntakeError(
            f"golden row {differing[0]} was logged with another score than the model gives "
            f"({len(differing)} of {len(rows.kept)} rows differ): log golden rows with the scores "
            "of this very model"
        )


def explain(error: Exception) -> str:
    """The type and the first line of a library's error, for the owner of the model."""
    first = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _scorable(predictor: PyfuncPredictor, frame: Frame) -> list[int]:
    """The positions of the rows that a model can score, in a frame that it fails on."""
    refusals: list[IntakeError] = []

    def predict(part: Frame) -> Scores:
        try:
            return predictor.predict(part)
        except IntakeError as error:
            refusals.append(error)
            raise

    parts = separate(predict, frame)
    if refusals:
        raise refusals[0]
    return [start + place for start, scores in parts for place in range(len(scores))]


def _finite(rows: SentRows, scores: Scores) -> Proof:
    table = scores.reshape(len(scores), -1)
    # A row without a score proves nothing: NaN is equal to nothing.
    places = np.flatnonzero(np.isfinite(table).all(axis=1)).tolist()
    if not places:
        raise IntakeError(
            "the model gives a finite score for none of the rows that it was tried on"
        )
    return Proof(
        [rows.documents[place] for place in places],
        table[places],
        [rows.kept[place] for place in places],
    )


def _booster_frame(contract: Contract, matrix: Scores) -> pd.DataFrame:
    """The matrix as LightGBM takes it from pandas: category columns, and numbers."""
    columns: dict[str, object] = {}
    categories: pd.Index
    for place, feature in enumerate(contract.features):
        values = matrix[:, place]
        if feature.categories is not None:
            codes = np.where(np.isnan(values), -1, values).astype(int)
            categories = pd.Index(list(feature.categories))
            columns[feature.name] = pd.Categorical.from_codes(codes.tolist(), categories)
        else:
            columns[feature.name] = values
    return pd.DataFrame(columns)
