"""Model versions as people name them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bentoml
import pytest
import yaml

from bentos.errors import ConfigurationError
from bentos.model import naming, shelf

VERSIONS = ["v1-aaaa11112222", "v10-bbbb11112222", "v2-cccc11112222", "v2-dddd11112222", "eeee1111"]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("v1-aaaa11112222", ["v1-aaaa11112222"]),
        ("v1", ["v1-aaaa11112222"]),
        ("1", ["v1-aaaa11112222"]),
        ("10", ["v10-bbbb11112222"]),
        ("v2", ["v2-cccc11112222", "v2-dddd11112222"]),
        ("v2-c", ["v2-cccc11112222"]),
        ("dddd", ["v2-dddd11112222"]),
        ("eeee", ["eeee1111"]),
        ("ddd", []),
        ("v3", []),
        ("", []),
    ],
)
def test_match(named: str, found: list[str]) -> None:
    """A version is named whole, by its number, or by digits of its digest."""
    assert naming.match(VERSIONS, named) == found


def test_pick_lists_what_there_is() -> None:
    """A name that none or several versions have is refused with the versions."""
    assert naming.pick(VERSIONS, "10", "the log") == "v10-bbbb11112222"
    with pytest.raises(ConfigurationError, match="2 versions named v2: v2-cccc11112222, v2-dddd"):
        naming.pick(VERSIONS, "v2", "the log")
    with pytest.raises(ConfigurationError, match="the log has no version v7; it has v1-aaaa"):
        naming.pick(VERSIONS, "v7", "the log")


def test_resolve(imported: dict[str, str]) -> None:
    """A name alone is the latest version; part of a digest is enough; others get advice."""
    tag = imported["binary"]
    name, _, version = tag.partition(":")
    assert naming.resolve(name) == naming.resolve(f"{name}:latest") == naming.resolve(tag) == tag
    assert naming.resolve(f"{name}:{version[:6]}") == tag
    with pytest.raises(ConfigurationError, match=f"{name} has no version v9; it has {version}"):
        naming.resolve(f"{name}:v9")
    for named in ("nothing-here:latest", "No Tag:at all", "", ":"):
        with pytest.raises(ConfigurationError, match="tabserve import models:/NAME@ALIAS"):
            naming.resolve(named)


@pytest.fixture
def twice(imported: dict[str, str]) -> Iterator[str]:
    """A name with two imports of registry version 7, the second of them later."""
    folder = Path(bentoml.models.get(imported["booster"]).path)
    home = folder.parent.with_name("named-twice")
    for number, version in enumerate(("v7-bbbb11112222", "v7-aaaa11112222")):
        copied = Path(shutil.copytree(folder, home / version))
        described = yaml.safe_load((copied / "model.yaml").read_text())
        described |= {"name": home.name, "version": version}
        described["creation_time"] = f"2030-01-01T00:00:0{number}.000000+00:00"
        (copied / "model.yaml").write_text(yaml.safe_dump(described))
    (home / "latest").write_text("v7-bbbb11112222")
    yield home.name
    shutil.rmtree(home)


def test_of_two_imports_of_one_version_the_later_is_meant(
    twice: str, imported: dict[str, str]
) -> None:
    """v7 is the later import of version 7, whatever is latest; a damaged one hides no other."""
    later = f"{twice}:v7-aaaa11112222"
    assert naming.resolve(f"{twice}:v7") == naming.resolve(f"{twice}:7") == later
    assert naming.resolve(twice) == f"{twice}:v7-bbbb11112222"
    damaged = Path(bentoml.models.get(f"{twice}:v7-aaaa11112222").path) / "model.yaml"
    damaged.write_text("\0")
    assert naming.resolve(f"{twice}:v7") == f"{twice}:v7-bbbb11112222"
    with pytest.raises(ConfigurationError, match=r"its model\.yaml cannot be read"):
        naming.resolve(f"{twice}:v7-aaaa11112222")
    models, broken = shelf.list_models()
    assert broken == [f"{twice}:v7-aaaa11112222"]
    assert imported["booster"] in {str(model.tag) for model in models}


def test_a_plain_name_needs_no_bentoml(imported: dict[str, str]) -> None:
    """BentoML takes a second to import, and a name that is a folder of the store does without."""
    code = (
        "import sys; from bentos.model import naming; "
        f"print(naming.resolve({imported['binary']!r}), 'bentoml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{imported['binary']} False\n"
