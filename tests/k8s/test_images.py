"""What goes into the serving image's build context."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from k8s.images import bento, site, tool

ROOT = Path(__file__).parents[2]
CONTAINERFILES = sorted((ROOT / "k8s" / "images").glob("*.Containerfile"))


def test_packages_that_serving_never_imports_are_left_out() -> None:
    """A pin goes with its hashes and comments; its neighbours stay as they are."""
    text = (
        "numpy==2.0 \\\n    --hash=sha256:aa\n    # via scipy\n"
        "scipy==1.17 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n    # via lightgbm\n"
        "simple-di==0.1 \\\n    --hash=sha256:dd\n"
    )
    kept = "".join(bento.keep_imported(text))
    assert kept == (
        "numpy==2.0 \\\n    --hash=sha256:aa\n    # via scipy\n"
        "simple-di==0.1 \\\n    --hash=sha256:dd\n"
    )


def test_the_locked_set_has_what_is_left_out() -> None:
    """Each package of the list is one that the lock file would install."""
    locked = (ROOT / "bentos" / "requirements.txt").read_text()
    for name in bento.NOT_IMPORTED:
        assert f"\n{name}==" in locked


def test_an_unknown_bento_is_one_line() -> None:
    """A Bento that is not there ends the build with what to do."""
    with pytest.raises(SystemExit, match="bentoml build"):
        bento.lay_out("tabserve:nosuchversion", Path("unused"))


def test_a_tool_that_is_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong IMAGE_TOOL is refused, and none at all names those that would do."""
    with pytest.raises(SystemExit, match="docker, podman, buildah"):
        tool.find("kaniko")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="none works here"):
        tool.find()


def test_site_files_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate file that is not there is named by its variable."""
    monkeypatch.setenv(site.CERTIFICATES, str(tmp_path / "none.crt"))
    with pytest.raises(SystemExit, match=r"^IMAGE_CA: "):
        site.lay_out(tmp_path / "site")


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.stem)
def test_containerfiles(path: Path) -> None:
    """The base is pinned by digest, the user a number, the last stage starts from nothing."""
    text = path.read_text()
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert stages[-1] == "scratch"
    last = text[text.rindex("FROM scratch") :]
    assert not re.search("^RUN", last, re.MULTILINE), (
        "the last stage has no shell command, and so no leftovers"
    )
