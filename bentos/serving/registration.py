"""What the prediction log stores about a served model, so that its records can be read later.

The reference sample travels with the version, so that whoever compares records with it
never takes another model's.
"""

from __future__ import annotations

import msgspec

from bentos.model import bundle, contract
from bentos.model.engines import trees
from bentos.model.engines.boosted import read_notes
from bentos.model.explanation.reasons import ReasonsFile
from bentos.model.layout import BOOSTER, FOLDER, TREES_NOTES
from bentos.model.store import StoredModel
from bentos.records.record import RegisteredReason, Registration

_REFERENCE = f"{bundle.FOLDER}/{bundle.REFERENCE}"


def register(stored: StoredModel, file: ReasonsFile | None = None) -> Registration:
    """Describe a stored model for the log. `file`: its reasons, where it brings any.

    Raises IntegrityError where a file is not what was imported.
    """
    made, provenance = stored.contract, stored.provenance
    has_reference = bundle.find(stored.folder, bundle.REFERENCE) is not None
    gains: dict[str, float] = {}
    if made.engine == "booster":
        by_column = trees.add_up_gains(stored.read(f"{FOLDER}/{BOOSTER}").decode())
        # LightGBM writes names its own way (no spaces); the order is that of the contract.
        gains = dict(zip(made.names, by_column.values(), strict=True))
    elif made.engine == "trees":
        gains = read_notes(stored.read(f"{FOLDER}/{TREES_NOTES}")).importance
    return Registration(
        model=stored.name,
        version=stored.version,
        contract=made.hash,
        document=msgspec.Raw(contract.dump(made)),
        digest=provenance.digest,
        mlflow_run_id=provenance.mlflow_run_id,
        metrics=provenance.metrics,
        importance=gains,
        reference=stored.read(_REFERENCE) if has_reference else None,
        reasons={
            one.code: RegisteredReason(one.sentence, one.features)
            for one in (file.reasons if file is not None else ())
        },
    )
