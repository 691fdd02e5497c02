"""Which registered version an alias of MLflow names, now and before.

A registered model's tag keeps the versions that had an alias, so that a rollback knows where
to go back to.
"""

from __future__ import annotations

import json

import mlflow
from mlflow.exceptions import MlflowException

from bentos.errors import IntakeError

# Enough to go back several times; a tag of MLflow holds 5,000 characters.
_REMEMBERED = 20
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def history_tag(alias: str) -> str:
    """The tag that keeps an alias's earlier versions, the last one at the end."""
    return f"tabserve.{alias}.history"


def find(name: str, alias: str) -> str | None:
    """The version number that an alias names; None where there is no such model or alias."""
    try:
        return str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in _NOT_THERE:
            return None
        raise


def filter_by(name: str) -> str:
    """MLflow's search filter for the versions of one registered model."""
    return f"name = {json.dumps(name, ensure_ascii=False)}"


def require_version(name: str, named: str) -> str:
    """The number of a version named 4, v4 or @ALIAS. Raises IntakeError, listing what there is."""
    client = mlflow.MlflowClient()
    if named.startswith("@"):
        number = find(name, named[1:])
        if number is None:
            raise IntakeError(f"MLflow has no version of {name} with the alias {named[1:]}")
        return number
    number = named.removeprefix("v")
    versions = [str(one.version) for one in client.search_model_versions(filter_by(name))]
    if number in versions:
        return number
    if not versions:
        raise IntakeError(f"MLflow has no registered model {name}")
    listed = ", ".join(sorted(versions, key=int))
    raise IntakeError(f"MLflow has no version {named} of {name}; it has {listed}")


def read_history(name: str, alias: str) -> list[str]:
    """The versions that had an alias before, the last one at the end."""
    tags = mlflow.MlflowClient().get_registered_model(name).tags
    return [one for one in tags.get(history_tag(alias), "").split(",") if one]


def move(name: str, alias: str, version: str) -> None:
    """Give an alias to a version, and remember which one had it."""
    before = find(name, alias)
    client = mlflow.MlflowClient()
    if before is not None and before != version:
        _write_history(name, alias, [*read_history(name, alias), before])
    client.set_registered_model_alias(name, alias, version)


def find_previous(name: str, alias: str) -> str:
    """The version that had an alias before the present one. Raises IntakeError without one."""
    history = read_history(name, alias)
    if not history:
        raise IntakeError(
            f"no earlier {alias} of {name} is recorded: name a version with "
            f"`tabserve promote {name} VERSION`"
        )
    return history[-1]


def move_back(name: str, alias: str) -> str:
    """Give an alias back to the version that had it before. Raises IntakeError without one."""
    previous = find_previous(name, alias)
    mlflow.MlflowClient().set_registered_model_alias(name, alias, previous)
    _write_history(name, alias, read_history(name, alias)[:-1])
    return previous


def _write_history(name: str, alias: str, versions: list[str]) -> None:
    text = ",".join(versions[-_REMEMBERED:])
    mlflow.MlflowClient().set_registered_model_tag(name, history_tag(alias), text)
