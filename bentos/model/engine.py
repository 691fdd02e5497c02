"""Which predictor serves a model: an accelerator where it is proved, or LightGBM, or MLflow."""

from __future__ import annotations

import importlib.util
from typing import Literal

import msgspec

from bentos.errors import IntegrityError
from bentos.model import proof
from bentos.model.engines.predictor import BoosterPredictor, Predictor
from bentos.model.engines.trees import count_features
from bentos.model.layout import BOOSTER, FOLDER, TREES, TREES_NOTES
from bentos.model.store import StoredModel
from bentos.settings import Settings


class Engine(msgspec.Struct, frozen=True):
    """A predictor, what it is, and why it is not the faster one if it is not."""

    name: Literal["accelerated", "booster", "pyfunc"]
    predictor: Predictor
    reason: str = ""


def choose(stored: StoredModel, settings: Settings) -> Engine:
    """Choose the fastest predictor that gives the model's scores to the last bit.

    Whatever is wrong with the accelerator, LightGBM serves, and `reason` says why.
    Raises IntegrityError where a model needs MLflow, or lignum, and there is none.
    """
    if stored.contract.engine == "pyfunc":
        return Engine("pyfunc", _pyfunc(stored))
    if stored.contract.engine == "trees":
        return Engine("accelerated", _trees(stored))
    text = stored.read(f"{FOLDER}/{BOOSTER}")
    reason = "the accelerator is switched off"
    if settings.accelerator:
        found = proof.why_not(stored.folder)
        if found is None:
            try:
                # Here, because a machine may lack the library: then the proof has said so.
                from bentos.model.engines.accelerated import AcceleratedPredictor  # noqa: PLC0415 - the native path never loads MLflow

                return Engine("accelerated", AcceleratedPredictor(text, count_features(text)))
            except Exception as error:
                found = f"it cannot be opened here ({type(error).__name__})"
        reason = f"no accelerator: {found}"
    # Opened only where it serves: the proof has opened it already, in a process that is gone.
    return Engine("booster", BoosterPredictor(text.decode(), settings.predict_threads), reason)


def _trees(stored: StoredModel) -> Predictor:
    trees, notes = stored.read(f"{FOLDER}/{TREES}"), stored.read(f"{FOLDER}/{TREES_NOTES}")
    try:
        from bentos.model.engines.boosted import BoostedPredictor  # noqa: PLC0415 - only these models need it

        return BoostedPredictor(trees, notes, stored.contract)
    except ImportError:
        raise IntegrityError(
            "this model is scored by lignum, which is not installed: install pylignum"
        ) from None
    except Exception as error:
        raise IntegrityError(
            f"lignum cannot open the trees of this model ({type(error).__name__}): import the "
            "model again with the packages of this server"
        ) from None


def _pyfunc(stored: StoredModel) -> Predictor:
    if importlib.util.find_spec("mlflow") is None:
        raise IntegrityError(
            "this model is run by MLflow itself, which is not installed: install tabserve[mlflow]"
        )
    # Imported here alone: the native path must not carry MLflow.
    from bentos.model.engines import flavors, pyfunc  # noqa: PLC0415 - the native path never loads MLflow

    return pyfunc.PyfuncPredictor(stored.contract, flavors.load(stored.folder).call)
