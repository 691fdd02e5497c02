"""No package comes in with a licence that was not decided on."""

from __future__ import annotations

import os
from importlib.metadata import Distribution, PathDistribution, distributions
from pathlib import Path

import pytest

from tests.supply_chain.licences import (
    Review,
    check,
    declared,
    is_permissive,
    name_of,
    read_reviews,
)

ROOT = Path(__file__).parents[2]
DRIFT = ROOT / ".venv-drift" / "lib" / "python3.11" / "site-packages"


def package(folder: Path, name: str, *lines: str) -> Distribution:
    """An installed package with these lines of metadata."""
    made = folder / f"{name}-1.0.dist-info"
    made.mkdir()
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines])
    (made / "METADATA").write_text(text + "\n")
    return PathDistribution(made)


def test_this_environment() -> None:
    """Every package of the service's and the tests' environment is permissive or reviewed."""
    assert list(check(distributions(), read_reviews())) == []


def test_environment_of_the_drift_job() -> None:
    """So is every package of the drift job's."""
    if not DRIFT.is_dir():
        assert not os.environ.get("CI"), "CI makes .venv-drift before it tests"
        pytest.skip("make drift-setup makes .venv-drift")
    assert list(check(distributions(path=[str(DRIFT)]), read_reviews())) == []


def test_no_review_without_a_package() -> None:
    """A review of a package that is gone is gone too."""
    paths = [str(DRIFT)] if DRIFT.is_dir() else []
    names = {name_of(one) for one in (*distributions(), *distributions(path=paths))}
    assert set(read_reviews()) <= names


def test_alibi_detect_from_0_11_5_on(tmp_path: Path) -> None:
    """The metadata of Alibi Detect 0.13: the Business Source License is no permissive one."""
    found = package(
        tmp_path,
        "alibi-detect",
        "License: Business Source License 1.1",
        "Classifier: License :: Other/Proprietary License",
    )
    (line,) = check([found], {})
    assert line.startswith("alibi-detect declares License :: Other/Proprietary License: review it")
    only_text = package(tmp_path, "of-text", "License: Business Source License 1.1")
    assert len(list(check([only_text], {}))) == 1
    expression = package(tmp_path, "of-spdx", "License-Expression: BUSL-1.1")
    assert len(list(check([expression], {}))) == 1


@pytest.mark.parametrize(
    ("licence", "is_fine"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND (GPL-2.0-only OR MIT)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT AND GPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("LGPL-3.0-only", False),
        ("BUSL-1.1", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_permissive(licence: str, is_fine: bool) -> None:
    """An expression is fine if one way to meet it asks for no more than a notice."""
    assert is_permissive(licence) is is_fine


def test_no_licence(tmp_path: Path) -> None:
    """A package that declares none is not taken for a permissive one."""
    found = package(tmp_path, "silent", "Classifier: License :: OSI Approved", "License: UNKNOWN")
    assert declared(found) == ""
    (line,) = check([found], {})
    assert line.startswith("silent declares no licence")


def test_another_licence_than_reviewed(tmp_path: Path) -> None:
    """A review holds for the licence that was read, not for the next one."""
    found = package(tmp_path, "changing", "License-Expression: AGPL-3.0-only")
    reviews = {"changing": Review("LGPL-3.0-only", "a library")}
    (line,) = check([found], reviews)
    assert line == "changing is reviewed as LGPL-3.0-only, and declares AGPL-3.0-only"
