"""What the serving image holds, and what it must not."""

from __future__ import annotations

import re

import pytest

from tests.images.conftest import Image

SECRETS = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n|postgres(?:ql)?://[^\s:/]+:[^\s@]+@\w")


def test_size(serving: Image) -> None:
    """The files of all layers are less than 300 MB."""
    assert serving.size_bytes < 300e6


@pytest.mark.parametrize(
    "name", ["gcc", "cc", "make", "git", "pip", "pip3", "uv", "apt", "apt-get", "perl", "curl"]
)
def test_no_program(serving: Image, name: str) -> None:
    """No compiler, no version control, no package installer is on any path."""
    folders = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/tabserve/bin")
    assert not [f"{folder}/{name}" for folder in folders if f"{folder}/{name}" in serving.members]


@pytest.mark.parametrize("package", ["scipy", "narwhals", "pip", "setuptools", "mlflow", "pandas"])
def test_no_package(serving: Image, package: str) -> None:
    """No Python package that serving does not import."""
    assert not [path for path in serving.members if f"site-packages/{package}/" in path]


def test_packages_are_there(serving: Image) -> None:
    """The search above would find a package: it finds those that serving needs."""
    for package in ("numpy", "lightgbm", "bentoml", "msgspec"):
        assert [path for path in serving.members if f"site-packages/{package}/" in path]


def test_no_caches(serving: Image) -> None:
    """No package lists, no download caches, no leftovers of the build machine."""
    for folder in ("/root/.cache", "/var/lib/apt/lists", "/var/cache/apt", "/site"):
        assert not [path for path in serving.members if path.startswith(folder + "/")]


def test_no_secrets(serving: Image) -> None:
    """No private key and no URL with a password in any file but those of hashed packages."""
    assert SECRETS.search(b"postgresql://user:password@host/db"), "the pattern finds what it should"
    found = [
        path
        for path, text in serving.texts.items()
        if SECRETS.search(text) and "/site-packages/" not in path
    ]
    assert found == []


def test_no_extra_rights(serving: Image) -> None:
    """No program is set-user-id or set-group-id."""
    assert not [
        path for path, member in serving.members.items() if member.isfile() and member.mode & 0o6000
    ]


def test_any_user_reads_the_model(serving: Image) -> None:
    """Every file of the Bento is readable, and every folder can be entered, by every user."""
    inside = {
        path: each for path, each in serving.members.items() if path.startswith("/opt/bento/")
    }
    assert [path for path in inside if path.endswith("/model.yaml")]
    for path, member in inside.items():
        assert member.mode & 0o004, path
        assert member.mode & 0o001 or not member.isdir(), path


def test_user(serving: Image) -> None:
    """The image's user is a number other than 0, so that `runAsNonRoot` can be checked."""
    user, _, group = serving.config["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_labels(serving: Image) -> None:
    """Labels name the revision, and the model down to its MLflow run."""
    labels = serving.config["Labels"]
    assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    for part in ("name", "version", "mlflow-run"):
        assert labels[f"io.tabserve.model.{part}"]
    assert "org.opencontainers.image.source" in labels


def test_environment(serving: Image) -> None:
    """No usage statistics, no variable of the build machine."""
    environment = dict(each.split("=", 1) for each in serving.config["Env"])
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"
    assert environment["BENTOML_CONTAINERIZED"] == "true"
    assert not [name for name in environment if "CERT" in name or "PROXY" in name.upper()]
