"""Every setting of the job: from the command line, else from `TABSERVE_DRIFT_*`.

The option `--min-rows` is the variable `TABSERVE_DRIFT_MIN_ROWS`. What is secret has no
option: every user of a machine can read a command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from bentos import service_links
from bentos.errors import ConfigurationError
from bentos.records.opening import NONE, open_drift_log, open_store
from monitoring.drift.choice import Choice, read_choice
from monitoring.drift.decision.limits import OWN, Limits
from monitoring.drift.options import PREFIX, Option, SettingsError, check_bounds, setting

# The service's own names for the log and its folder: one variable serves both.
STORE_VARIABLE = "TABSERVE_STORE_URL"
FOLDER_VARIABLE = "TABSERVE_DATA_DIR"

# The times of predictions begin here (UUIDv7).
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

# The joint test is held to a fifth of alpha (`limits.SHARES`): its least p-value, one in
# B + 1, must be below that.
_LEAST_PERMUTATION_LEVELS = 5.0


@dataclass(frozen=True)
class Settings:
    """How one run behaves; the limits of the tests are in `limits`."""

    store: str = setting(
        "sqlite:///",
        f"Prediction log; where unset or empty, `{STORE_VARIABLE}`.",
        is_hidden=True,
    )
    data_dir: Path = setting(
        Path(".tabserve"),
        "Where the log's file is if `store` is `sqlite:///`; where unset or empty, "
        f"`{FOLDER_VARIABLE}`.",
    )
    window: timedelta = setting(
        timedelta(hours=24), "How far back to read: a number and m, h, d or w."
    )
    until: datetime | None = setting(None, "End of the window, ISO 8601 with a zone. Empty is now.")
    reference: str = setting(
        "training",
        "What the window is compared with: `training`, the reference of the version; `weeks:N`, "
        "the same hours and weekdays of the N weeks before; `accepted`, the last window without "
        "drift or that a person accepted; `SINCE/UNTIL`, a span of the log.",
        is_required=True,
    )
    accept: bool = setting(
        False,
        "Accept the window, whatever is found: it counts as normal for `accepted` from then on.",
    )
    no_write: bool = setting(
        False, "Write no result to the store: for who may read it and no more."
    )
    model: str = setting("", "Only this model. Empty takes every one.")
    sample_rows: int = setting(
        20_000,
        "Most rows of a version's window that are compared; the store picks them.",
        least=100,
        most=1_000_000,
    )
    seed: int = setting(
        1,
        "Picks the sample and the permutations; recorded with every result.",
        least=0,
        most=2**32 - 1,
    )
    report: Path | None = setting(None, "Folder for an HTML report of each version.")
    json: Path | None = setting(None, "File for the results as JSON.")
    report_url: str = setting(
        "", "Where the report folder is served; annotations link to it.", url="plain"
    )
    pushgateway: str = setting(
        "",
        "URL of a Pushgateway, with user:password@ where it asks for them. Empty pushes nothing.",
        url="with password",
        is_hidden=True,
    )
    job_name: str = setting(
        "tabserve_drift",
        "Name of this job in metrics, results and files; two jobs need two names.",
        is_required=True,
    )
    grafana: str = setting("", "URL of a Grafana. Empty annotates nothing.", url="plain")
    grafana_token: str = setting(
        "", "Token of a Grafana service account; by environment only.", is_secret=True
    )
    timeout_seconds: float = setting(
        10.0,
        "Longest time for one push or annotation, in seconds.",
        above=0.0,
        # An hour: more than any run's period needs, and what a thread can wait for.
        most=3600.0,
    )
    fail_on_drift: bool = setting(False, "Exit 3 where drift is found, for pipelines.")
    retraining_importance: float = setting(
        0.3,
        "Share of the model's importance that must drift for a run to ask for retraining.",
        above=0.0,
        most=1.0,
    )
    retraining_runs: int = setting(
        3,
        "For how many windows in a row runs must ask, by drift in the scores or in that much "
        "importance: windows that hardly overlap, each window between them asking too.",
        least=1,
        most=1000,
    )
    limits: Limits = field(default_factory=Limits)

    @property
    def choice(self) -> Choice:
        """The choice of the reference, read."""
        return read_choice(self.reference, f"{PREFIX}REFERENCE")


def list_options() -> list[Option]:
    """Every setting, in the order of the documentation."""
    return [
        Option(item.name, item.default, str(item.type), item.metadata)
        for owner in (Settings, Limits)
        for item in dataclasses.fields(owner)
        if item.name != "limits"
    ]


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read all settings. Raises SettingsError; `--help` exits."""
    options = {option.name: option for option in list_options()}
    _refuse_unknown(environment, options)
    given = vars(_build_parser(list(options.values())).parse_args(arguments))
    values: dict[str, object] = {}
    places: dict[str, str] = {}
    for name, option in options.items():
        if given.get(name) is not None:
            places[name] = option.flag or name
            values[name] = option.read(str(given[name]), places[name])
        elif option.variable in environment:
            places[name] = option.variable
            values[name] = option.read(environment[option.variable], places[name])
    _choose_store(values, environment, given.get("store") is not None)
    _choose_folder(values, environment, given.get("data_dir") is not None)
    _check_window(values)
    if "reference" in values:
        read_choice(str(values["reference"]), places["reference"])
    limited = {item.name for item in dataclasses.fields(Limits)}
    limits = Limits(**{k: v for k, v in values.items() if k in limited})  # type: ignore[arg-type]  # read by their types
    _check_feature_limits(limits, places.get("feature_limits", ""))
    if (limits.permutations + 1) * limits.alpha < _LEAST_PERMUTATION_LEVELS:
        raise SettingsError(
            f"{PREFIX}PERMUTATIONS: too few for this alpha, the multivariate test could never "
            "report drift"
        )
    others = {k: v for k, v in values.items() if k not in limited}
    settings = Settings(**others, limits=limits)  # type: ignore[arg-type]  # the same
    if settings.accept and settings.no_write:
        raise SettingsError("--accept: a window that is not written down cannot be accepted")
    return settings


def _check_feature_limits(limits: Limits, where: str) -> None:
    bounds = {item.name: item.metadata["bounds"] for item in dataclasses.fields(Limits)}
    for own in (limits.feature_limits or {}).values():
        for name, value in own.items():
            if name not in OWN:
                raise SettingsError(f"{where}: a feature's limits are {', '.join(OWN)}")
            check_bounds(value, bounds[name], f"{where}: {name}")


def _choose_store(
    values: dict[str, object], environment: Mapping[str, str], is_given: bool
) -> None:
    where = "--store" if is_given else f"{PREFIX}STORE"
    if not values.get("store"):
        # An empty variable is how a manifest or a shell leaves one unset.
        values.pop("store", None)
        if environment.get(STORE_VARIABLE):
            values["store"], where = environment[STORE_VARIABLE], STORE_VARIABLE
    if values.get("store") == NONE:
        raise SettingsError(f"{where}: none keeps no predictions to compare")
    if "store" in values:
        try:
            # Makes them, and connects to nothing.
            open_store(str(values["store"]))
            open_drift_log(str(values["store"]))
        except ConfigurationError as error:
            raise SettingsError(f"{where}: {error}") from None


def _choose_folder(
    values: dict[str, object], environment: Mapping[str, str], is_given: bool
) -> None:
    # An empty text is the working folder's path to argparse, and unset in a manifest.
    if not is_given and not environment.get(f"{PREFIX}DATA_DIR"):
        values.pop("data_dir", None)
        if environment.get(FOLDER_VARIABLE):
            values["data_dir"] = Path(environment[FOLDER_VARIABLE])


def _check_window(values: Mapping[str, object]) -> None:
    until, window = values.get("until"), values.get("window", timedelta(hours=24))
    if isinstance(until, datetime) and isinstance(window, timedelta) and until - _FIRST < window:
        raise SettingsError(f"{PREFIX}UNTIL: the window must begin after 1970")


def _refuse_unknown(environment: Mapping[str, str], options: Mapping[str, Option]) -> None:
    known = {option.variable for option in options.values()}
    for name in sorted(environment.keys() - service_links.find(environment)):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, sorted(known), 1)
            meant = f", did you mean {close[0]}?" if close else ""
            raise SettingsError(f"unknown setting {name}{meant}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line, as for every other wrong setting, instead of the whole usage.
        raise SettingsError(f"{message}; --help lists the options")


def _build_parser(options: Sequence[Option]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m monitoring.drift",
        description="Compare a window of the prediction log with the reference of the model "
        "versions in it. Exits 0 whether or not there is drift, 1 where the comparison of a "
        "version failed, 2 for a wrong setting.",
        allow_abbrev=False,
    )
    for option in options:
        if option.flag is None:
            continue
        about = f"{option.metadata['help']} [{option.variable}]".replace("%", "%%")
        if option.type == "bool":
            parser.add_argument(
                option.flag, dest=option.name, help=about, action="store_const", const="true"
            )
        else:
            parser.add_argument(option.flag, dest=option.name, help=about)
    return parser
