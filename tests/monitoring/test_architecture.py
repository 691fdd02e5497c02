"""Rules of the package, as a failing check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "monitoring" / "drift"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What the decision may not touch.
IMPURE = {
    "asyncio", "datetime", "io", "logging", "os", "pathlib", "prometheus_client", "random",
    "socket", "subprocess", "sys", "time", "urllib",
}  # fmt: skip
# The shapes of findings have times in them, and read no clock.
PURE = sorted(set((PACKAGE / "decision").glob("*.py")) - {PACKAGE / "decision" / "findings.py"})


class _Types(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_types else node


def imports(path: Path, *, at_work: bool = False) -> set[str]:
    """Every module that a file names in an import; `at_work`: but for types alone."""
    found: set[str] = set()
    tree: ast.AST = ast.parse(path.read_text())
    for node in ast.walk(_Types().visit(tree) if at_work else tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names} | {str(node.module)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.stem))
def test_only_the_log_and_the_contract_are_taken_from_the_service(path: Path) -> None:
    """Of `bentos`: `records`, `contract`, `errors`, and nothing that needs its environment."""
    packages = ("bentos", "bentos.model")
    allowed = (
        "bentos.errors",
        "bentos.ids",
        "bentos.model.contract",
        "bentos.records",
        "bentos.service_links",
    )
    for name in imports(path):
        if name.startswith("bentos") and name not in packages:
            assert name in allowed or name.startswith(tuple(f"{item}." for item in allowed))
        assert not name.startswith(("bentoml", "loadtests", "service", "tests"))


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.stem))
def test_the_decision_is_pure(path: Path) -> None:
    """No I/O, no clock, no global generator: rows in, findings out."""
    tops = {module.partition(".")[0] for module in imports(path, at_work=True)}
    assert not tops & IMPURE
    assert "np.random.seed" not in path.read_text()


def test_only_push_names_metrics() -> None:
    """One module knows what they are called."""
    for path in MODULES:
        if path.name != "push.py":
            assert "prometheus_client" not in imports(path)
            assert "tabserve_drift_" not in path.read_text()


def test_no_folder_has_too_many_modules() -> None:
    """A folder can be read at a glance: at most twenty modules each, and none over 350 lines."""
    for folder in {path.parent for path in MODULES}:
        assert len(list(folder.glob("*.py"))) <= 20, folder.name
    for path in MODULES:
        assert len(path.read_text().splitlines()) <= 350, path.name


def test_the_tests_mirror_the_rooms() -> None:
    """Each room has a folder of tests of its own."""
    rooms = {path.parent.name for path in MODULES if path.parent != PACKAGE}
    tests = Path(__file__).parent
    assert rooms == {path.parent.name for path in tests.glob("*/test_*.py")}
