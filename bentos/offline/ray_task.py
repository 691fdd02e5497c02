"""One part, scored by a worker of a Ray cluster. It knows nothing of Ray."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from bentos.audit import rescoring
from bentos.errors import IntegrityError, TabserveError
from bentos.model.loading import LoadedModel
from bentos.offline import files, run
from bentos.offline.planning import Part, Plan
from bentos.settings import Settings


class Job(msgspec.Struct, frozen=True):
    """What the parts of a run have in common.

    `digest`: of the model `tag`, which every machine has in its own Bento store. `source` and
    `target`: the address of a file, and the name that the user gave it. `header`: of the plan.
    """

    tag: str
    digest: str
    unknown_category: str
    accelerator: bool
    source: tuple[str, str]
    target: tuple[str, str]
    header: bytes


def score(job: Job, part: Part) -> run.Counts | str:
    """Score one part and write its results. Gives one line about what failed, if anything did."""
    try:
        model = _open(job.tag, job.digest, job.unknown_category, job.accelerator)
        source, target = _find(*job.source), _find(*job.target)
        return run.score_part(model, source, target, Plan([], job.header), part)
    except TabserveError as error:
        return str(error)
    except Exception as error:
        # A message of a library may quote a value, so the type has to do.
        return getattr(error, "strerror", None) or type(error).__name__


@lru_cache(maxsize=1)
def _open(tag: str, digest: str, unknown_category: str, accelerator: bool) -> LoadedModel:
    """Open and prove the model, once for each worker. Raises TabserveError."""
    stored = rescoring.find_stored(tag)
    if stored.provenance.digest != digest:
        raise IntegrityError(f"the model {tag} of a worker's Bento store is not that of this run")
    wanted = {
        "unknown_category": unknown_category,
        "accelerator": accelerator,
        # Ray gives each task one core.
        "predict_threads": 1,
    }
    return rescoring.open_served(tag, Settings.model_validate(wanted))


def _find(address: str, name: str) -> files.File:
    return msgspec.structs.replace(files.find(address), name=name)
