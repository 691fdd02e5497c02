"""Rules of the structure that import-linter cannot say."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PRIVATE = ("bentoml._internal", "_bentoml_impl", "_bentoml_sdk")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_only_batching_may_use_what_bentoml_keeps_private() -> None:
    """No other module breaks when BentoML moves its insides."""
    users = {
        path.name
        for path in [ROOT / "service.py", *(ROOT / "bentos").rglob("*.py")]
        if any(name.startswith(PRIVATE) for name in imports(path))
    }
    assert users <= {"batching.py"}


def test_only_metrics_names_metrics() -> None:
    """Every exported metric is defined in one place."""
    users = {
        path.name
        for path in [ROOT / "service.py", *(ROOT / "bentos").rglob("*.py")]
        if any(name.startswith("prometheus_client") for name in imports(path))
    }
    assert users == {"book.py", "metrics.py", "directory.py", "tally.py"}


def test_serving_imports_only_what_the_bento_carries() -> None:
    """What service.py imports, at start or later on the native path, is on the include list."""
    included = {
        path
        for pattern in yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
        for path in ROOT.glob(pattern)
    }
    assert all(path.is_file() for path in included)
    for path in (one for one in included if one.suffix == ".py"):
        for name in imports(path):
            if name.split(".")[0] != "bentos":
                continue
            module = ROOT / Path(*name.split("."))
            candidates = {module.with_suffix(".py"), module / "__init__.py"}
            assert candidates & included, f"{path.name} imports {name}, which does not ship"


def test_a_worker_loads_no_training_package() -> None:
    """Starting to serve imports neither MLflow, pandas, scikit-learn, scipy nor LightGBM."""
    heavy = "{'mlflow', 'pandas', 'sklearn', 'scipy', 'lightgbm', 'matplotlib', 'pyarrow'}"
    code = (
        "import sys; import bentos.serving.composition, bentos.model.loading; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bentos/records/record.py", "    from bentos.records.opening import open_store"),
        ("bentos/protocols/v1.py", "    from bentos.serving.worker import Worker"),
        ("bentos/serving/http.py", "    from bentos.serving.app import FrontApp"),
    ],
)
def test_a_circle_fails_the_check(module: str, line: str, tmp_path: Path) -> None:
    """An import against the direction breaks a contract, even inside a function."""
    for package in ("bentos", "loadtests", "monitoring"):
        leave_out = shutil.ignore_patterns(
            "__pycache__", "results", "data", "node_modules", ".venv"
        )
        shutil.copytree(ROOT / package, tmp_path / package, ignore=leave_out)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / module
    changed.write_text(f"{changed.read_text()}\n\ndef late() -> None:\n{line}\n")
    checked = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert checked.returncode == 1, checked.stdout
    assert "BROKEN" in checked.stdout
    assert changed.stem in checked.stdout.partition("BROKEN")[2]


def test_no_folder_and_no_file_is_too_large() -> None:
    """A package has at most 20 modules, a module at most 350 lines."""
    for package in ("bentos", "monitoring", "loadtests"):
        # Environments of the load tests' peers are in a folder of theirs.
        paths = [
            path
            for path in (ROOT / package).rglob("*.py")
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        ]
        for folder in {path.parent for path in paths}:
            modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
            assert len(modules) <= 20, f"{folder.relative_to(ROOT)} has {len(modules)} modules"
        for path in paths:
            lines = len(path.read_text().splitlines())
            assert lines <= 350, f"{path.relative_to(ROOT)} has {lines} lines"
