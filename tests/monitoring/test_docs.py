"""The tables of `monitoring/README.md` equal the code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from monitoring.drift.calibration.__main__ import FOLDER
from monitoring.drift.decision.findings import OUTCOMES
from monitoring.drift.publishing import push
from monitoring.drift.settings import list_options

ROOT = Path(__file__).parents[2]
README = (ROOT / "monitoring" / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose header begins so."""
    lines = README.partition(f"\n{heading}")[2].splitlines()[2:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def show(value: object) -> str:
    if value in (None, "", ()):
        return ""
    if isinstance(value, timedelta):
        return f"`{int(value.total_seconds() // 3600)}h`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_documented() -> None:
    """Each variable with its default and its help, in the order of the code."""
    assert rows("| variable |") == [
        [f"`{option.variable}`", show(option.default), option.metadata["help"]]
        for option in list_options()
    ]


def test_every_metric_is_documented() -> None:
    """Each metric with its labels, those of the group first."""
    expected = []
    for shapes, group in ((push.RESULTS, ["job", "model"]), (push.RUN, ["job"])):
        for name, (labels, about) in shapes.items():
            named = ", ".join(f"`{label}`" for label in (*group, *labels))
            expected.append([f"`{name}`", named, about])
    assert rows("| metric |") == expected


def test_every_outcome_is_documented() -> None:
    """The four outcomes, and no other."""
    assert sorted(row[0].strip("`") for row in rows("| outcome |")) == sorted(OUTCOMES)


def test_the_tables_are_those_of_the_calibration() -> None:
    """The numbers in the text are the last report's, row by row."""
    report = sorted(FOLDER.glob("*-calibration.md"))[-1]
    assert f"](drift/results/{report.name})" in README
    lines = [line for line in report.read_text().splitlines() if line.startswith("| ")]
    assert lines
    for line in lines:
        assert line in README
