"""No file of the project holds a key, a token or a password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from detect_secrets.core import secrets_collection
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[2]
# The passwords that tests look for in messages, and must not find.
DUMMIES = {"hunter2", "password", "s3cret", "sec%ret", "secret", "word"}
# Lists of digests, megabytes of them, that a program wrote.
WRITTEN = ("uv.lock", "package-lock.json", "requirements.txt", "requirements-dev.txt")
# These take any digest, or any assignment to a name like `key`, for a secret.
TOO_EAGER = {"Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector"}


def find_secrets(root: Path, names: Iterable[str]) -> list[str]:
    """Places in files that look like a secret, without the secret."""
    classes: dict[str, type] = get_mapping_from_secret_type_to_class()
    detectors = {one.__name__ for one in classes.values()}
    plugins = [{"name": name} for name in sorted(detectors - TOO_EAGER)]
    found = secrets_collection.SecretsCollection(root=str(root))
    with transient_settings({"plugins_used": plugins}):
        found.scan_files(*names)
    return [
        f"{name}:{secret.line_number}: {secret.type}"
        for name, secret in found
        if not (name.startswith("tests/") and secret.secret_value in DUMMIES)
    ]


def test_no_secrets() -> None:
    """Every tracked file is free of them, but for the dummies of the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    names = [name for name in listed.split("\0") if name and Path(name).name not in WRITTEN]
    assert len(names) > 100
    assert find_secrets(ROOT, names) == []


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "token = 'ghp_" + "a1B2" * 9 + "'",
        "AKIA" + "IOSFODNN7" + "EXAMPL3",
        "postgresql://user:" + "hunter2@db/log",
    ],
    ids=["private key", "GitHub token", "AWS key", "password in a URL"],
)
def test_finds_secrets(tmp_path: Path, line: str) -> None:
    """The scan finds what it is for, also a dummy outside of the tests."""
    (tmp_path / "settings.py").write_text(f"x = 1\n{line}\n")
    assert [place.rpartition(":")[0] for place in find_secrets(tmp_path, ["settings.py"])] == [
        "settings.py:2"
    ]
