"""Known vulnerabilities of locked packages: clean, vulnerable, or not audited.

`python -m tests.supply_chain.audit REQUIREMENTS ...` runs pip-audit on each file and ends with 0
where every package was looked up and nothing is known, with 1 where something is, and with 2 where
a package was not looked up. pip-audit itself ends with 0 where its service is out of reach and it
skipped every package, which must never read as clean.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec
from packaging.utils import canonicalize_name

ACCEPTED = Path(__file__).with_name("accepted.yaml")
TIMEOUT_SECONDS = 600
EXIT_CODES = {"clean": 0, "vulnerable": 1, "not audited": 2}

Outcome = Literal["clean", "vulnerable", "not audited"]

_PACKAGE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vulnerability that we live with: why, and until when (a day)."""

    package: str
    why: str
    until: date


class Vulnerability(msgspec.Struct, frozen=True):
    id: str
    aliases: tuple[str, ...] = ()
    fix_versions: tuple[str, ...] = ()


class Audited(msgspec.Struct, frozen=True):
    """One package as pip-audit reports it. `skip_reason`: why it was not looked up."""

    name: str
    version: str = ""
    vulns: tuple[Vulnerability, ...] = ()
    skip_reason: str = ""


class Answer(msgspec.Struct, frozen=True):
    dependencies: tuple[Audited, ...]


class Report(msgspec.Struct, frozen=True):
    """What came of one file: the outcome, and a line for each thing to look at."""

    outcome: Outcome
    lines: tuple[str, ...]


def audit(
    requirements: Path, acceptances: dict[str, Acceptance], today: date, osv_url: str = ""
) -> Report:
    """Look up every package that a file pins.

    `osv_url`: of another service that speaks OSV's interface, in place of PyPI's own.
    """
    pinned: set[str] = {
        canonicalize_name(name) for name, _ in _PACKAGE.findall(requirements.read_text())
    }
    if not pinned:
        return Report("not audited", (f"{requirements} pins no package",))
    with tempfile.TemporaryDirectory() as cache:
        # What another run was told a while ago is no answer. `--strict` would end at the first
        # package that is skipped, and say nothing of the others; `judge` counts them all.
        command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off"]
        command += ["--format", "json", "--disable-pip", "--no-deps", "--cache-dir", cache]
        command += ["--requirement", str(requirements)]
        if osv_url:
            command += ["--vulnerability-service", "osv", "--osv-url", osv_url]
        try:
            # This interpreter, and files of the project.
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired:
            return Report("not audited", (f"no answer in {TIMEOUT_SECONDS} seconds",))
    try:
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except msgspec.MsgspecError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Report("not audited", (f"pip-audit gave no report: {last}",))
    return judge(answer, pinned, acceptances, today)


def judge(
    answer: Answer, pinned: set[str], acceptances: dict[str, Acceptance], today: date
) -> Report:
    """Decide on what pip-audit reported about the packages that a file pins."""
    lines, is_vulnerable = [], False
    for package in answer.dependencies:
        for found in package.vulns:
            accepted = next(
                (acceptances[id] for id in (found.id, *found.aliases) if id in acceptances), None
            )
            if (
                accepted is not None
                and accepted.package == canonicalize_name(package.name)
                and today <= accepted.until
            ):
                lines.append(f"accepted until {accepted.until}: {package.name} {found.id}")
                continue
            is_vulnerable = True
            fix = f", mended in {', '.join(found.fix_versions)}" if found.fix_versions else ""
            lines.append(f"vulnerable: {package.name} {package.version} {found.id}{fix}")
    looked_up = {canonicalize_name(one.name) for one in answer.dependencies if not one.skip_reason}
    unknown = sorted(pinned - looked_up)
    lines += [f"not audited: {name}" for name in unknown]
    # A known vulnerability counts, whatever else was not looked up.
    if is_vulnerable:
        return Report("vulnerable", tuple(lines))
    return Report("not audited" if unknown else "clean", tuple(lines))


def read_acceptances() -> dict[str, Acceptance]:
    """The accepted vulnerabilities by id."""
    return msgspec.yaml.decode(ACCEPTED.read_bytes(), type=dict[str, Acceptance])


def main(arguments: Sequence[str]) -> int:
    """Audit files; print an outcome for each; give the exit code of the worst."""
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("requirements", nargs="+", type=Path)
    parser.add_argument("--osv-url", default="", help="another service with OSV's interface")
    options = parser.parse_args(arguments)
    acceptances = read_acceptances()
    outcomes: set[Outcome] = set()
    for path in options.requirements:
        report = audit(path, acceptances, datetime.now(UTC).date(), options.osv_url)
        outcomes.add(report.outcome)
        sys.stdout.write(f"{path}: {report.outcome}\n")
        sys.stdout.writelines(f"  {line}\n" for line in report.lines)
    for outcome in ("vulnerable", "not audited", "clean"):
        if outcome in outcomes:
            return EXIT_CODES[outcome]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
