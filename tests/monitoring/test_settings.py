"""Settings: one line for what is wrong, and no secret in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.drift.decision.limits import SHARES, Limits
from monitoring.drift.settings import Settings, SettingsError, list_options, read

DURATION = "must be a whole number and one of m, h, d, w, for example 24h, up to 2600w"
NAMES = 'must be names with commas between them, or a JSON array as ["a", "b"]'
LIMITS = 'must be a JSON object of features, for example {"age": {"min_ks": 0.1}}'
REFERENCE = (
    "must be training, accepted, weeks:N with N from 1 to 60, or two times with a zone and a "
    "slash between them"
)
URL = "must be an http or https URL, for example http://host:9091"


def test_the_command_line_wins() -> None:
    """Command line, then environment, then default."""
    environment = {"TABSERVE_DRIFT_WINDOW": "7d", "TABSERVE_DRIFT_MIN_ROWS": "700"}
    settings = read(["--window", "90m"], environment)
    assert settings.window == timedelta(minutes=90)
    assert settings.limits == Limits(min_rows=700)
    assert settings.seed == 1


def test_every_setting_has_a_variable() -> None:
    """Each option is read from the environment by its own name and type."""
    samples = {
        "str": ("text", "text"), "int": ("300", 300), "float": ("0.5", 0.5), "bool": ("yes", True),
        "timedelta": ("2w", timedelta(weeks=2)), "Path": ("a/b", Path("a/b")),
        "Path | None": ("a/b", Path("a/b")), "tuple[str, ...]": ("a, b", ("a", "b")),
        "Mapping[str, Mapping[str, float]]": ('{"a": {"min_ks": 0.2}}', {"a": {"min_ks": 0.2}}),
        "datetime | None": ("2026-11-21T12:00:00+02:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
    }  # fmt: skip
    own: dict[str, tuple[str, object]] = {
        "psi_bins": ("20", 20),
        "store": ("sqlite:///a", "sqlite:///a"),
        "reference": ("weeks:4", "weeks:4"),
    }
    for option in list_options():
        text, value = own.get(option.name, samples[option.type])
        if option.metadata["url"]:
            text = value = "https://host/path"
        settings = read([], {option.variable: text})
        owner = settings.limits if hasattr(Limits, option.name) else settings
        assert getattr(owner, option.name) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("WINDOW", "24", DURATION),
        ("WINDOW", "0h", DURATION),
        ("WINDOW", "99999999999d", DURATION),
        ("UNTIL", "2026-11-21", "must be a time with a zone, for example 2026-01-31T00:00:00Z"),
        ("MIN_ROWS", "many", "must be a whole number"),
        ("MIN_ROWS", "99", "must be at least 100"),
        ("ALPHA", "1", "must be more than 0 and less than 1"),
        ("ALPHA", "nan", "must be more than 0 and less than 1"),
        ("TIMEOUT_SECONDS", "inf", "must be more than 0 and at most 3600"),
        ("FAIL_ON_DRIFT", "perhaps", "must be true or false"),
        ("WINDOW", "999999w", DURATION),
        ("JOB_NAME", "", "must not be empty"),
        ("JOB_NAME", "a\udcff", "must be text"),
        ("PUSHGATEWAY", "ftp://host", URL),
        ("PUSHGATEWAY", "http://host:hunter2", URL),
        ("PUSHGATEWAY", "http://host/a b", URL),
        ("GRAFANA", "http://", URL),
        ("GRAFANA", "grafana:3000", URL),
        ("GRAFANA", "http://host/?x=1", URL),
        ("GRAFANA", "http://user:hunter2@host", "must hold no user and no password"),
        ("REPORT_URL", "http://user@host", "must hold no user and no password"),
        ("GRAFANA_TOKEN", "hunter2\nx", "must be one word of ASCII"),
        ("GRAFANA_TOKEN", "hünter2", "must be one word of ASCII"),
        ("UNTIL", "1970-01-01T01:00:00Z", "the window must begin after 1970"),
        ("UNTIL", "0001-01-01T01:00:00Z", "the window must begin after 1970"),
        ("STORE", "none", "none keeps no predictions to compare"),
        ("PERMUTATIONS", "10", "must be at least 199 and at most 100000"),
        ("IGNORE", '["a", 1]', NAMES),
        ("IGNORE", "[", NAMES),
        ("FEATURE_LIMITS", "age=1", LIMITS),
        ("FEATURE_LIMITS", '{"age": {"min_ks": "x"}}', LIMITS),
        ("FEATURE_LIMITS", '{"age": {"min_ks": 2}}', "min_ks: must be at least 0 and at most 1"),
        (
            "FEATURE_LIMITS",
            '{"age": {"alpha": 0.1}}',
            "a feature's limits are min_ks, min_cramers_v, min_rate_change, min_outside_share",
        ),
        ("REFERENCE", "yesterday", REFERENCE),
        ("REFERENCE", "weeks:0", REFERENCE),
        ("REFERENCE", "weeks:61", REFERENCE),
        ("REFERENCE", "2026-11-01/2026-11-02", REFERENCE),
        ("REFERENCE", "2026-11-01T00:00:00Z/", REFERENCE),
        (
            "REFERENCE",
            "2026-11-02T00:00:00Z/2026-11-01T00:00:00Z",
            "the second time must be after the first one",
        ),
        ("REFERENCE", "", "must not be empty"),
    ],
)
def test_a_malformed_setting_is_one_clear_line(name: str, text: str, message: str) -> None:
    """The line names the variable and what it must be."""
    with pytest.raises(SettingsError) as caught:
        read([], {f"TABSERVE_DRIFT_{name}": text})
    assert str(caught.value) == f"TABSERVE_DRIFT_{name}: {message}"


def test_an_unknown_setting_is_refused() -> None:
    """A misspelt variable would silently be a default: it is refused, and the near one named."""
    with pytest.raises(SettingsError, match=r"TABSERVE_DRIFT_MINROWS, did you mean .*_MIN_ROWS\?"):
        read([], {"TABSERVE_DRIFT_MINROWS": "1"})
    with pytest.raises(SettingsError, match="unrecognized arguments: --bogus"):
        read(["--bogus"], {})
    with pytest.raises(SettingsError, match="--window: must be"):
        read(["--window", "long"], {})


def test_the_services_variable_names_the_log() -> None:
    """Service and job agree on the log without a second variable; the job's own wins."""
    assert read([], {"TABSERVE_STORE_URL": "sqlite:///a"}).store == "sqlite:///a"
    both = {"TABSERVE_STORE_URL": "sqlite:///a", "TABSERVE_DRIFT_STORE": "sqlite:///b"}
    assert read([], both).store == "sqlite:///b"
    assert read([], {"TABSERVE_MAX_ROWS": "1"}) == Settings()


def test_the_services_variable_names_the_folder() -> None:
    """The log's file is where the service puts it; the job's own variable and option win."""
    service = {"TABSERVE_DATA_DIR": "/data"}
    assert read([], service).data_dir == Path("/data")
    assert read([], service | {"TABSERVE_DRIFT_DATA_DIR": ""}).data_dir == Path("/data")
    assert read([], service | {"TABSERVE_DRIFT_DATA_DIR": "/own"}).data_dir == Path("/own")
    assert read(["--data-dir", "/given"], service).data_dir == Path("/given")


def test_an_empty_store_is_an_unset_one() -> None:
    """A manifest that leaves the variable empty does not hide the service's."""
    empty = {"TABSERVE_DRIFT_STORE": "", "TABSERVE_STORE_URL": "sqlite:///a"}
    assert read([], empty).store == "sqlite:///a"
    assert read([], {"TABSERVE_DRIFT_STORE": " ", "TABSERVE_STORE_URL": ""}) == Settings()


@pytest.mark.parametrize("name", ["TABSERVE_DRIFT_STORE", "TABSERVE_STORE_URL"])
def test_a_wrong_store_url_is_a_wrong_setting(name: str) -> None:
    """It is told by the variable that holds it, before anything is opened, and not repeated."""
    for url in ("hunter2", "postgresql://u:hunter2@[x", "parquet:"):
        with pytest.raises(SettingsError, match=f"^{name}: [^\n]*URL[^\n]*$") as caught:
            read([], {name: url})
        assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"^--store: "):
        read(["--store", "hunter2"], {})


def test_a_pushgateway_may_ask_for_a_password() -> None:
    """The URL holds both, as the Pushgateway has no other way; they are not shown."""
    url = "http://user:hunter2@host:9091/path"
    settings = read([], {"TABSERVE_DRIFT_PUSHGATEWAY": url})
    assert settings.pushgateway == url
    assert "hunter2" not in repr(settings)


def test_the_longest_window_has_a_beginning() -> None:
    """What the settings take, the calendar bears: no run breaks on it later."""
    settings = read(["--window", "2600w"], {})
    assert datetime(2026, 11, 21, tzinfo=UTC) - settings.window > datetime(1970, 1, 1, tzinfo=UTC)


def test_too_few_permutations_for_the_level_are_refused() -> None:
    """A multivariate test that could never be significant is no test."""
    with pytest.raises(SettingsError, match="could never report drift"):
        read(["--alpha", "0.01", "--permutations", "199"], {})
    assert read(["--alpha", "0.01"], {}).limits.permutations == 999


def test_the_groups_share_the_level() -> None:
    """The shares add up to the level of the run, and no more."""
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_secrets_are_not_shown() -> None:
    """Token and URL are not in what a Settings prints, and the token is no option."""
    settings = read(
        [], {"TABSERVE_DRIFT_GRAFANA_TOKEN": "hunter2", "TABSERVE_DRIFT_STORE": "sqlite:///pw"}
    )
    assert "hunter2" not in repr(settings)
    assert "sqlite:///pw" not in repr(settings)
    with pytest.raises(SettingsError):
        read(["--grafana-token", "hunter2"], {})


def test_what_kubernetes_adds_is_no_setting() -> None:
    """The variables of a Service named tabserve-drift stop no run; one of them alone does."""
    service = {
        "TABSERVE_DRIFT_SERVICE_HOST": "10.96.0.7",
        "TABSERVE_DRIFT_SERVICE_PORT": "80",
        "TABSERVE_DRIFT_PORT": "tcp://10.96.0.7:80",
        "TABSERVE_DRIFT_PORT_80_TCP_ADDR": "10.96.0.7",
    }
    assert read([], service) == read([], {})
    with pytest.raises(SettingsError, match="TABSERVE_DRIFT_PORT"):
        read([], {"TABSERVE_DRIFT_PORT": "tcp://10.96.0.7:80"})


def test_names_may_hold_commas() -> None:
    """As a JSON array; elsewhere a comma ends a name."""
    assert read(["--ignore", '["a, b", "c"]'], {}).limits.ignore == ("a, b", "c")
    assert read(["--ignore", " a,b, "], {}).limits.ignore == ("a", "b")


def test_a_feature_has_its_own_limits() -> None:
    """Only those that are given; another feature has those of all."""
    limits = read(["--feature-limits", '{"age": {"min_ks": 0.2}}'], {}).limits
    assert (limits.of("age").min_ks, limits.of("age").min_rate_change) == (0.2, 0.02)
    assert limits.of("income") == limits


def test_a_window_that_is_not_written_cannot_be_accepted() -> None:
    """The two options contradict each other."""
    with pytest.raises(SettingsError, match=r"^--accept: "):
        read(["--accept", "--no-write"], {})
