"""Training settings: settings.yaml, then what suits the data, then --config, then overrides.

The YAML file holds every value; the classes here hold every type. A key that the classes do
not know is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from bentos.training import TASKS, TrainingError, bars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class ThresholdMethod(Enum):
    """How the decision threshold is chosen; the names are what the YAML file says."""

    youden = "youden"
    f1 = "f1"
    cost = "cost"


@dataclass
class DataSettings:
    rows: int | None
    maximum_categories: int
    drop: list[str]
    task: str | None
    explore: bool


@dataclass
class SplitSettings:
    seed: int
    validation: float
    test: float
    time: str | None


@dataclass
class LinearSettings:
    inverse_regularisation: float
    maximum_iterations: int


@dataclass
class ForestSettings:
    seed: int
    trees: int
    minimum_leaf_rows: int
    threads: int


@dataclass
class SearchSettings:
    num_leaves: list[int]
    learning_rate: list[float]
    min_child_samples: list[int]
    colsample_bytree: list[float]
    subsample: list[float]
    reg_lambda: list[float]


@dataclass
class LightgbmSettings:
    seed: int
    trials: int
    threads: int
    maximum_trees: int
    early_stopping_rounds: int
    search: SearchSettings


@dataclass
class ThresholdSettings:
    method: ThresholdMethod
    false_negative_cost: float
    false_positive_cost: float


@dataclass
class SliceSettings:
    column: str
    edges: list[float] | None = None


@dataclass
class FairnessSettings:
    slices: list[SliceSettings]


@dataclass
class EvidenceSettings:
    reference_rows: int
    golden_rows: int
    contribution_rows: int


@dataclass
class RegistrySettings:
    minimum_auc: float | None
    margin: float
    require: list[str]


@dataclass
class Settings:
    """Every setting, resolved. The file settings.yaml says what each means."""

    experiment: str
    data: DataSettings
    split: SplitSettings
    linear: LinearSettings
    random_forest: ForestSettings
    lightgbm: LightgbmSettings
    threshold: ThresholdSettings
    fairness: FairnessSettings
    evidence: EvidenceSettings
    registry: RegistrySettings


def load(
    suited: Mapping[str, object],
    config: Path | None,
    overrides: Sequence[str],
    options: Mapping[str, object] | None = None,
) -> Settings:
    """Resolve the settings.

    `suited`: what the data's description sets. `overrides`: `key.path=value` each. `options`:
    nested settings that come last.
    Raises TrainingError for a key that does not exist, a value of the wrong type or out of
    range, and a file that is not YAML.
    """
    malformed = [item for item in overrides if "=" not in item]
    if malformed:
        raise TrainingError(f"{malformed[0]!r} is not a setting: write key=value")
    packaged = files("bentos.training").joinpath("settings.yaml").read_text()
    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(Settings),
            OmegaConf.create(packaged),
            OmegaConf.create(dict(suited)),
            _read(config) if config else OmegaConf.create(),
            OmegaConf.from_dotlist(list(overrides)),
            OmegaConf.create(dict(options or {})),
        )
        resolved = cast("Settings", OmegaConf.to_object(merged))
    except ConfigKeyError as error:
        raise TrainingError(f"there is no setting {error.full_key!r}") from None
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        named = f"setting {error.full_key!r}" if error.full_key else "settings"
        raise TrainingError(f"{named}: {reason}") from None
    except YAMLError:
        raise TrainingError("a setting's value is not YAML") from None
    _check(resolved)
    bars.parse(resolved.registry.require)
    return resolved


def _read(path: Path) -> DictConfig:
    try:
        content = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError, YAMLError):
        raise TrainingError(f"{path} cannot be read as YAML") from None
    if not isinstance(content, DictConfig):
        raise TrainingError(f"{path} must hold settings by name")
    return content


def _check(settings: Settings) -> None:
    """Refuse values that have the right type and no sense."""
    split, boosting, evidence = settings.split, settings.lightgbm, settings.evidence
    ranges = vars(boosting.search)
    faults = {
        "split.validation": not 0 < split.validation < 1,
        "split.test": not 0 < split.test < 1,
        "split": split.validation + split.test >= 1,
        "data.rows": settings.data.rows is not None and settings.data.rows < 1,
        "data.maximum_categories": settings.data.maximum_categories < 2,
        "data.task": settings.data.task is not None and settings.data.task not in TASKS,
        "linear.inverse_regularisation": settings.linear.inverse_regularisation <= 0,
        "linear.maximum_iterations": settings.linear.maximum_iterations < 1,
        "random_forest.trees": settings.random_forest.trees < 1,
        "random_forest.minimum_leaf_rows": settings.random_forest.minimum_leaf_rows < 1,
        "random_forest.threads": settings.random_forest.threads < 1,
        "lightgbm.trials": boosting.trials < 1,
        "lightgbm.threads": boosting.threads < 1,
        "lightgbm.maximum_trees": boosting.maximum_trees < 1,
        "lightgbm.early_stopping_rounds": boosting.early_stopping_rounds < 1,
        **{
            f"lightgbm.search.{name}": len(pair) != 2 or pair[0] > pair[1]
            for name, pair in ranges.items()
        },
        "threshold": (
            settings.threshold.false_negative_cost <= 0
            or settings.threshold.false_positive_cost <= 0
        ),
        "evidence.reference_rows": evidence.reference_rows < 1,
        "evidence.golden_rows": evidence.golden_rows < 1,
        "evidence.contribution_rows": evidence.contribution_rows < 1,
        "registry.margin": settings.registry.margin < 0,
    }
    refused = [key for key, is_refused in faults.items() if is_refused]
    if refused:
        raise TrainingError(f"setting {refused[0]!r} is out of range")


def dump(settings: Settings) -> str:
    """Write settings as YAML, the same text for the same settings."""
    return str(OmegaConf.to_yaml(OmegaConf.structured(settings), sort_keys=True))


def flatten(settings: Settings) -> dict[str, str]:
    """Every setting by its dotted key, as MLflow's parameters want them."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            flat[prefix] = str(value)

    walk("", OmegaConf.to_container(OmegaConf.structured(settings), enum_to_str=True))
    return flat


def digest(settings: Settings) -> str:
    """SHA-256 of the resolved settings, hexadecimal."""
    return hashlib.sha256(dump(settings).encode()).hexdigest()
