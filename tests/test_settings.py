"""Settings: read once, refused in one line, documented one by one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from bentos import settings
from bentos.errors import ConfigurationError
from bentos.settings import PREFIX, Settings, variable

ROOT = Path(settings.__file__).parent.parent


@pytest.fixture(autouse=True)
def _no_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the project's own `.env`."""
    monkeypatch.chdir(tmp_path)


def refusal() -> str:
    """The one line that refuses the settings."""
    with pytest.raises(ConfigurationError) as caught:
        settings.read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    """Without a variable every setting has its default, and nothing is marked as set."""
    made = settings.read()
    assert made.max_rows == 10_000
    assert made.model_fields_set == set()


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable sets its field."""
    monkeypatch.setenv("TABSERVE_MAX_ROWS", "5")
    monkeypatch.setenv("TABSERVE_UNKNOWN_CATEGORY", "missing")
    monkeypatch.setenv("TABSERVE_ACCESS_LOG", "false")
    made = settings.read()
    assert (made.max_rows, made.unknown_category, made.access_log) == (5, "missing", False)
    assert made.model_fields_set == {"max_rows", "unknown_category", "access_log"}


def test_frozen() -> None:
    """Settings cannot change while the service runs."""
    with pytest.raises(ValueError, match="frozen"):
        settings.read().max_rows = 3


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TABSERVE_MAX_ROW", "TABSERVE_MAX_ROWS"),
        ("TABSERVE_WORKER", "TABSERVE_WORKERS"),
        ("tabserve_max_row", "TABSERVE_MAX_ROWS"),
    ],
)
def test_unknown(name: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown variable, in any case, is named with the nearest setting, without its value."""
    monkeypatch.setenv(name, "secret7")
    assert refusal() == f"{name.upper()} is not a setting, did you mean {nearest}?"


def test_unknown_and_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several unknown variables are all named, with no guess where nothing is near."""
    monkeypatch.setenv("TABSERVE_QQQQQQQQQQQQQQ", "1")
    monkeypatch.setenv("TABSERVE_WORKER", "1")
    assert refusal() == (
        "TABSERVE_QQQQQQQQQQQQQQ is not a setting; "
        "TABSERVE_WORKER is not a setting, did you mean TABSERVE_WORKERS?"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TABSERVE_MAX_ROWS", "secret7"),
        ("TABSERVE_MAX_ROWS", "0"),
        ("TABSERVE_WORKERS", "129"),
        ("TABSERVE_UNKNOWN_CATEGORY", "secret7"),
        ("TABSERVE_ACCESS_LOG", "secret7"),
        ("TABSERVE_LOG_LEVEL", "secret7"),
        ("TABSERVE_TIMEOUT_SECONDS", "0"),
        ("TABSERVE_TIMEOUT_SECONDS", "inf"),
        ("TABSERVE_TIMEOUT_SECONDS", "nan"),
        ("TABSERVE_BATCH_WAIT_MS", "nan"),
        ("TABSERVE_MODEL", "secret7"),
        ("TABSERVE_MODEL", ":latest"),
        ("TABSERVE_MODEL", "secret7:"),
    ],
)
def test_malformed(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed variable is named with what is wrong, without its value."""
    monkeypatch.setenv(name, value)
    line = refusal()
    assert line.startswith(f"{name}: ")
    assert "secret7" not in line


def test_several_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All malformed variables are named in one line."""
    monkeypatch.setenv("TABSERVE_MAX_ROWS", "x")
    monkeypatch.setenv("TABSERVE_WORKERS", "x")
    assert re.fullmatch(r"TABSERVE_WORKERS: [^;]+; TABSERVE_MAX_ROWS: [^;]+", refusal())


def test_dotenv(tmp_path: Path) -> None:
    """`.env` in the working directory is read; what others keep there is left alone."""
    (tmp_path / ".env").write_text("TABSERVE_MAX_ROWS=6\nMLFLOW_TRACKING_URI=sqlite:///x.db\n")
    assert settings.read().max_rows == 6


def test_dotenv_unknown(tmp_path: Path) -> None:
    """An unknown setting in `.env` is refused as one of the environment is."""
    (tmp_path / ".env").write_text("TABSERVE_MAX_ROW=secret7\n")
    assert refusal() == "TABSERVE_MAX_ROW is not a setting, did you mean TABSERVE_MAX_ROWS?"


def test_every_setting_has_a_description() -> None:
    """Each setting is described in a sentence."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def _plain(default: object) -> str:
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


def test_example_lists_the_settings() -> None:
    """`.env.example` lists exactly the settings, with their descriptions and their defaults."""
    text = (ROOT / ".env.example").read_text()
    listed = re.findall(r"^# (.+)\n# (TABSERVE_\w+)=(.*)$", text, re.MULTILINE)
    assert listed == [
        (field.description, variable(name), _plain(field.default))
        for name, field in Settings.model_fields.items()
    ]
    assert text.count(f"{PREFIX}") == len(listed)
