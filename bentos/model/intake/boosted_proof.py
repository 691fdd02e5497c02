"""The proof that lignum gives the scores of XGBoost or CatBoost, made when a model is imported.

Where the model is served neither library is at hand, so every drawn row must agree to the
last bit here, together with others and alone, and a row that the library refuses must be
refused. lignum scores in a process of its own: a crash there ends no import.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bentos.model import contract, golden, proof
from bentos.model.contract import Contract
from bentos.model.engines.boosted import BoostedPredictor
from bentos.model.engines.flavors import Loaded
from bentos.model.frame import Framer
from bentos.model.intake.boosted import Boosted, Lacking
from bentos.model.intake.proof import Proof, prove_pyfunc
from bentos.model.intake.rows import SentRows
from bentos.model.layout import CONTRACT, FOLDER


def prove_trees(made: Contract, taken: Boosted, loaded: Loaded, rows: SentRows) -> Proof:
    """Score rows with the model itself and with lignum on its trees.

    Gives the rows with the model's own scores. Raises Lacking where lignum does otherwise,
    IntakeError where the model cannot be served at all.
    """
    proved = prove_pyfunc(made, loaded, rows)
    with tempfile.TemporaryDirectory(prefix="tabserve-import-") as scratch:
        served = Path(scratch) / FOLDER
        served.mkdir()
        (served / CONTRACT).write_bytes(contract.dump(made))
        taken.write(Path(scratch))
        known = golden.Golden(proved.documents, proved.scores.tolist())
        (served / golden.FILE).write_bytes(msgspec.json.encode(known))
        reason = proof.why_not(Path(scratch))
        if reason is not None:
            raise Lacking(reason)
        _require_refusals(made, Path(scratch), rows, proved)
    if not taken.is_single:
        return proved
    return msgspec.structs.replace(proved, tolerance=golden.TOLERANCE_FLOAT32)


def _require_refusals(made: Contract, model_dir: Path, rows: SentRows, proved: Proof) -> None:
    """Raise Lacking where lignum scores a row that the model itself cannot score."""
    predictor, framer = BoostedPredictor.of_folder(model_dir, made), Framer(made)
    scored = set(proved.kept)
    for number, row in zip(rows.kept, rows.encoded, strict=True):
        if number in scored:
            continue
        try:
            predictor.predict(framer.frame([row]))
        except ValueError:
            continue
        raise Lacking("it scores rows that the model itself cannot score")


def shorten(proved: Proof, most: int) -> Proof:
    """The first rows of a proof: what a start scores again."""
    return msgspec.structs.replace(
        proved,
        documents=proved.documents[:most],
        scores=proved.scores[:most],
        kept=proved.kept[:most],
    )
