"""Every setting of the job: from the command line, else from `TABSERVE_DRIFT_*`.

The option `--min-rows` is the variable `TABSERVE_DRIFT_MIN_ROWS`. What is secret has no
option: a command line can be read by every user of a machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from bentos import service_links
from bentos.errors import ConfigurationError
from bentos.records.opening import NONE, open_drift_log, open_store
from monitoring.drift.limits import Limits

PREFIX = "TABSERVE_DRIFT_"

# The service's own names for the log and its folder: one variable serves both.
STORE_VARIABLE = "TABSERVE_STORE_URL"
FOLDER_VARIABLE = "TABSERVE_DATA_DIR"

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

# Half a century: no log is older, and calendars and clocks reckon with it.
_LONGEST = timedelta(weeks=2600)

# The times of predictions begin here (UUIDv7).
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


class SettingsError(Exception):
    """A setting is unknown or malformed; the message is one line and never repeats a secret."""


@dataclass(frozen=True)
class Settings:
    """How one run behaves; the limits of the tests are in `limits`."""

    store: str = field(
        default="sqlite:///",
        repr=False,
        metadata={"help": f"Prediction log; where unset or empty, `{STORE_VARIABLE}`."},
    )
    data_dir: Path = field(
        default=Path(".tabserve"),
        metadata={
            "help": "Where the log's file is if `store` is `sqlite:///`; where unset or empty, "
            f"`{FOLDER_VARIABLE}`."
        },
    )
    window: timedelta = field(
        default=timedelta(hours=24),
        metadata={"help": "How far back to read: a number and m, h, d or w."},
    )
    until: datetime | None = field(
        default=None,
        metadata={"help": "End of the window, ISO 8601 with a zone. Empty is now."},
    )
    model: str = field(default="", metadata={"help": "Only this model. Empty takes every one."})
    sample_rows: int = field(
        default=20_000,
        metadata={
            "help": "Most rows of a version's window that are compared; the store picks them.",
            "least": 100,
            "most": 1_000_000,
        },
    )
    seed: int = field(
        default=1,
        metadata={
            "help": "Picks the sample and the permutations; recorded with every result.",
            "least": 0,
            "most": 2**32 - 1,
        },
    )
    report: Path | None = field(
        default=None, metadata={"help": "Folder for an HTML report of each version."}
    )
    json: Path | None = field(default=None, metadata={"help": "File for the results as JSON."})
    report_url: str = field(
        default="",
        metadata={
            "help": "Where the report folder is served; annotations link to it.",
            "url": "plain",
        },
    )
    pushgateway: str = field(
        default="",
        repr=False,
        metadata={
            "help": "URL of a Pushgateway, with user:password@ where it asks for them. Empty "
            "pushes nothing.",
            "url": "with password",
        },
    )
    job_name: str = field(
        default="tabserve_drift",
        metadata={
            "help": "Name of this job in metrics, results and files; two jobs need two names.",
            "is_required": True,
        },
    )
    grafana: str = field(
        default="", metadata={"help": "URL of a Grafana. Empty annotates nothing.", "url": "plain"}
    )
    grafana_token: str = field(
        default="",
        repr=False,
        metadata={
            "help": "Token of a Grafana service account; by environment only.",
            "is_secret": True,
        },
    )
    timeout_seconds: float = field(
        default=10.0,
        metadata={
            "help": "Longest time for one push or annotation, in seconds.",
            "above": 0.0,
            # An hour: more than any run's period needs, and what a thread can wait for.
            "most": 3600.0,
        },
    )
    fail_on_drift: bool = field(
        default=False, metadata={"help": "Exit 3 where drift is found, for pipelines."}
    )
    retraining_importance: float = field(
        default=0.3,
        metadata={
            "help": "Share of the model's importance that must drift for a run to ask for "
            "retraining.",
            "above": 0.0,
            "most": 1.0,
        },
    )
    retraining_runs: int = field(
        default=3,
        metadata={
            "help": "For how many windows in a row runs must ask, by drift in the scores or in "
            "that much importance: windows that hardly overlap, each run between them asking too.",
            "least": 1,
            "most": 1000,
        },
    )
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Option:
    """One setting as it is documented and read."""

    name: str
    default: object
    type: str
    metadata: Mapping[str, Any]

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str | None:
        """Its option on the command line; None for a secret."""
        return None if self.metadata.get("is_secret") else "--" + self.name.replace("_", "-")

    def read(self, text: str, where: str) -> object:
        """Read a value. Raises SettingsError, which names `where` it is from."""
        try:
            value = _READERS[self.type](text.strip())
        except (ValueError, OverflowError):
            raise SettingsError(f"{where}: {_WANTED[self.type]}") from None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_range(value, where)
        if self.metadata.get("is_required") and not value:
            raise SettingsError(f"{where}: must not be empty")
        if "url" in self.metadata and value:
            _check_url(str(value), where, has_password=self.metadata["url"] == "with password")
        if self.metadata.get("is_secret"):
            _check_token(str(value), where)
        return value

    def _check_range(self, value: float, where: str) -> None:
        least, most = self.metadata.get("least"), self.metadata.get("most")
        above, below = self.metadata.get("above"), self.metadata.get("below")
        if (
            not math.isfinite(value)
            or (least is not None and value < least)
            or (most is not None and value > most)
            or (above is not None and value <= above)
            or (below is not None and value >= below)
        ):
            bounds = [
                f"{word} {bound:g}"
                for word, bound in (
                    ("at least", least),
                    ("more than", above),
                    ("at most", most),
                    ("less than", below),
                )
                if bound is not None
            ]
            raise SettingsError(f"{where}: must be {' and '.join(bounds) or 'finite'}")


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
    for name, option in options.items():
        if given.get(name) is not None:
            values[name] = option.read(str(given[name]), option.flag or name)
        elif option.variable in environment:
            values[name] = option.read(environment[option.variable], option.variable)
    _choose_store(values, environment, given.get("store") is not None)
    _choose_folder(values, environment, given.get("data_dir") is not None)
    _check_window(values)
    limited = {item.name for item in dataclasses.fields(Limits)}
    limits = Limits(**{k: v for k, v in values.items() if k in limited})  # type: ignore[arg-type]  # read by their types
    if (limits.permutations + 1) * limits.alpha < _LEAST_PERMUTATION_LEVELS:
        raise SettingsError(
            f"{PREFIX}PERMUTATIONS: too few for this alpha, the multivariate test could never "
            "report drift"
        )
    others = {k: v for k, v in values.items() if k not in limited}
    return Settings(**others, limits=limits)  # type: ignore[arg-type]  # the same


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
    # An empty text is the working folder's path to argparse, and unset to who wrote a manifest.
    if not is_given and not environment.get(f"{PREFIX}DATA_DIR"):
        values.pop("data_dir", None)
        if environment.get(FOLDER_VARIABLE):
            values["data_dir"] = Path(environment[FOLDER_VARIABLE])


def _check_window(values: Mapping[str, object]) -> None:
    until, window = values.get("until"), values.get("window", Settings.window)
    if isinstance(until, datetime) and isinstance(window, timedelta) and until - _FIRST < window:
        raise SettingsError(f"{PREFIX}UNTIL: the window must begin after 1970")


# The joint test is held to a fifth of alpha (`limits.SHARES`): its least p-value, one in
# B + 1, must be below that.
_LEAST_PERMUTATION_LEVELS = 5.0


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
        "versions in it. Exits 0 whether or not there is drift, 1 where a version could not "
        "be compared, 2 for a wrong setting.",
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


def _read_text(text: str) -> str:
    # What a command line holds beyond UTF-8 becomes lone surrogates, which nothing takes.
    text.encode()
    return text


def _read_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _read_duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([mhdw])", text)
    if match is None or int(match[1]) == 0:
        raise ValueError
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > _LONGEST:
        raise ValueError
    return duration


def _read_time(text: str) -> datetime | None:
    if not text:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


def _read_path(text: str) -> Path | None:
    return Path(text) if text else None


def _check_url(text: str, where: str, *, has_password: bool) -> None:
    """Refuse what is no base of a URL; never repeats it, as it may hold a password."""
    try:
        parts = urlsplit(text)
        is_url = (
            bool(parts.hostname)
            and parts.scheme in ("http", "https")
            and parts.port != 0
            and not (parts.query or parts.fragment)
            # urlsplit drops some of them without a word.
            and not re.search(r"[\s\x00-\x20\x7f]", text)
        )
        has_user = "@" in parts.netloc
    except ValueError:
        is_url = has_user = False
    if not is_url:
        raise SettingsError(f"{where}: must be an http or https URL, for example http://host:9091")
    if has_user and not has_password:
        raise SettingsError(f"{where}: must hold no user and no password")


def _check_token(text: str, where: str) -> None:
    # What a header can carry.
    if not text.isascii() or re.search(r"[\s\x00-\x20\x7f]", text):
        raise SettingsError(f"{where}: must be one word of ASCII")


_READERS: dict[str, Any] = {
    "str": _read_text,
    "int": int,
    "float": float,
    "bool": _read_bool,
    "timedelta": _read_duration,
    "datetime | None": _read_time,
    "Path": Path,
    "Path | None": _read_path,
}
_WANTED = {
    "str": "must be text",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "timedelta": "must be a whole number and one of m, h, d, w, for example 24h, up to 2600w",
    "datetime | None": "must be a time with a zone, for example 2026-01-31T00:00:00Z",
    "Path": "must be a path",
    "Path | None": "must be a path",
}
