"""What the Bento store and MLflow's registry have, as plain data.

The two are matched by registry name and version, which an import records.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import msgspec

from bentos.errors import ConfigurationError
from bentos.model import bundle, contract, golden, shelf
from bentos.model.contract import Contract
from bentos.model.layout import CONTRACT, FOLDER, MLFLOW_FOLDER
from bentos.model.store import Provenance


class Evidence(msgspec.Struct, frozen=True):
    """Which evidence a model carries; without one of them something does not work.

    `reference`: training ranges and drift. `golden`: the proof of the scores at start.
    `threshold`: a threshold that was chosen, not the default of 0.5; None where the task has
    none. `metrics`: values that performance drift compares with.
    """

    reference: bool
    golden: bool
    threshold: bool | None
    metrics: bool

    @property
    def missing(self) -> list[str]:
        """What is not there, by name."""
        names = ("reference", "golden", "threshold", "metrics")
        return [name for name in names if getattr(self, name) is False]


class StoreEntry(msgspec.Struct, frozen=True):
    """One version of the Bento store. `problem`: why it cannot be served, where it cannot."""

    tag: str
    created: str
    is_latest: bool
    is_default: bool
    task: str = ""
    engine: str = ""
    registry: str = ""
    evidence: Evidence | None = None
    problem: str = ""


class RegistryEntry(msgspec.Struct, frozen=True):
    """One version of MLflow's registry. `tags`: the models of the store that came from it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: tuple[str, ...]


def read_store(default: str) -> list[StoreEntry]:
    """Every model of the Bento store, by name, the newest first. `default`: tag that is served."""
    models, damaged = shelf.list_models()
    models.sort(key=lambda one: one.tag.name)
    latest: dict[str, str] = {}
    for model in models:
        name = model.tag.name
        if name not in latest:
            with suppress(bentoml.exceptions.BentoMLException, ConfigurationError):
                latest[name] = str(shelf.get(f"{name}:latest").tag)
    entries = [_entry(model, latest.get(model.tag.name, ""), default) for model in models]
    problem = "is damaged: its model.yaml cannot be read"
    return entries + [StoreEntry(tag, "", False, False, problem=problem) for tag in damaged]


def find_tag(entries: list[StoreEntry], name: str, version: str | None) -> str | None:
    """The newest import of a registered version; None where it was never imported."""
    tags = [one.tag for one in entries if one.registry == f"{name}/{version}"]
    return tags[0] if tags else None


def _entry(model: bentoml.Model, latest: str, default: str) -> StoreEntry:
    tag = str(model.tag)
    created = model.info.creation_time.isoformat(timespec="seconds")
    common = StoreEntry(tag, created, tag == latest, tag == default)
    folder = Path(model.path) / MLFLOW_FOLDER
    try:
        # Digests are not checked here: a list of many models has to be quick.
        provenance = msgspec.convert(dict(model.info.metadata), Provenance)
        made = contract.load((folder / FOLDER / CONTRACT).read_bytes())
    except (msgspec.ValidationError, ValueError, OSError):
        is_ours = "digest" in model.info.metadata
        problem = "is damaged: import it again" if is_ours else "was not imported by tabserve"
        return msgspec.structs.replace(common, problem=problem)
    registry = ""
    if provenance.registry_name:
        registry = f"{provenance.registry_name}/{provenance.registry_version}"
    return msgspec.structs.replace(
        common,
        task=made.task,
        engine=made.engine,
        registry=registry,
        evidence=find_evidence(folder, made, provenance),
    )


def find_evidence(folder: Path, made: Contract, provenance: Provenance) -> Evidence:
    """What evidence a model's folder carries."""
    has_threshold = None
    if made.task == "binary":
        has_threshold = bundle.find(folder, bundle.DECISION) is not None
    return Evidence(
        reference=bundle.find(folder, bundle.REFERENCE) is not None,
        golden=(folder / FOLDER / golden.FILE).is_file(),
        threshold=has_threshold,
        metrics=bool(provenance.metrics),
    )


def read_registry(entries: list[StoreEntry]) -> list[RegistryEntry]:
    """Every version of MLflow's registry, the newest first, with its models of the store.

    Call `tracking.configure` first. Raises MlflowException.
    """
    import mlflow  # noqa: PLC0415 - --help stays quick

    from bentos.model.intake import aliases  # noqa: PLC0415 - --help stays quick

    client = mlflow.MlflowClient()
    imported: dict[str, list[str]] = {}
    for entry in entries:
        imported.setdefault(entry.registry, []).append(entry.tag)
    found = []
    for registered in _read_pages(client.search_registered_models):
        versions = _read_pages(
            partial(
                client.search_model_versions,
                aliases.filter_by(registered.name),
            )
        )
        named: dict[str, list[str]] = {}
        for alias, number in registered.aliases.items():
            named.setdefault(str(number), []).append(alias)
        for version in sorted(versions, key=lambda one: int(one.version), reverse=True):
            number = str(version.version)
            found.append(
                RegistryEntry(
                    registered.name,
                    number,
                    tuple(sorted(named.get(number, []))),
                    tuple(imported.get(f"{registered.name}/{number}", [])),
                )
            )
    return found


def _read_pages(search: Callable[..., Any]) -> list[Any]:
    """Everything that a search of MLflow finds, page by page."""
    page = search()
    found = list(page)
    while page.token:
        page = search(page_token=page.token)
        found += page
    return found
