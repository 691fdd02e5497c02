"""Clean, vulnerable and not audited are told apart, against a stand-in of OSV's service."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.supply_chain.audit import (
    Acceptance,
    Answer,
    Audited,
    Vulnerability,
    audit,
    judge,
    main,
    read_acceptances,
)

TODAY = date(2026, 11, 27)
LOCK = "safe-package==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\nBad_Package[extra]==2.0 \\\n"
LOCK += "    --hash=sha256:" + "1" * 64 + "\n"
VULNERABLE = {
    "id": "OSV-2026-1",
    "aliases": ["CVE-2026-1"],
    "summary": "It is broken.",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "bad-package"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
            "versions": ["2.0"],
        }
    ],
}


class _Osv(BaseHTTPRequestHandler):
    """Knows the vulnerabilities of `known`, by package name; None breaks the answer."""

    known: dict[str, list[object] | None]

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = self.known.get(query["package"]["name"], [])
        self.send_response(500 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"vulns": found} if found else {}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[tuple[str, type[_Osv]]]:
    """A service on loopback, and what it knows."""
    handler = type("Osv", (_Osv,), {"known": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query", handler
        server.shutdown()
        thread.join()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock file of two packages."""
    path = tmp_path / "requirements.txt"
    path.write_text(LOCK)
    return path


def test_clean(lock: Path, osv: tuple[str, type[_Osv]]) -> None:
    """Every package was looked up and nothing is known."""
    report = audit(lock, {}, TODAY, osv[0])
    assert (report.outcome, report.lines) == ("clean", ())


def test_vulnerable(
    lock: Path, osv: tuple[str, type[_Osv]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A known vulnerability is named with the version that mends it, until it is accepted."""
    url, handler = osv
    handler.known["bad-package"] = [VULNERABLE]
    report = audit(lock, {}, TODAY, url)
    assert report.outcome == "vulnerable"
    assert report.lines == ("vulnerable: bad-package 2.0 CVE-2026-1, mended in 2.1",)
    assert main([str(lock), "--osv-url", url]) == 1
    assert "requirements.txt: vulnerable\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("acceptance", "outcome"),
    [
        (Acceptance("bad-package", "never reached", TODAY), "clean"),
        (Acceptance("bad-package", "never reached", date(2026, 11, 26)), "vulnerable"),
        (Acceptance("safe-package", "never reached", TODAY), "vulnerable"),
    ],
    ids=["accepted", "no longer", "of another package"],
)
def test_accepted(acceptance: Acceptance, outcome: str) -> None:
    """An acceptance holds for one package, until its day, and under any name."""
    found = Vulnerability("OSV-2026-1", ("CVE-2026-1",))
    answer = Answer((Audited("Bad_Package", "2.0", (found,)),))
    report = judge(answer, {"bad-package"}, {"CVE-2026-1": acceptance}, TODAY)
    assert report.outcome == outcome


def test_one_package_skipped() -> None:
    """A package that was skipped makes the whole not audited; a vulnerability outweighs it."""
    clean, skipped = Audited("a", "1"), Audited("b", "1", skip_reason="not found")
    assert judge(Answer((clean, skipped)), {"a", "b"}, {}, TODAY).outcome == "not audited"
    assert judge(Answer((clean,)), {"a", "b"}, {}, TODAY).lines == ("not audited: b",)
    bad = Audited("a", "1", (Vulnerability("CVE-2026-1"),))
    assert judge(Answer((bad, skipped)), {"a", "b"}, {}, TODAY).outcome == "vulnerable"


def test_not_audited(lock: Path, osv: tuple[str, type[_Osv]]) -> None:
    """A service that fails, or that is not there, never reads as clean."""
    url, handler = osv
    handler.known["bad-package"] = None
    report = audit(lock, {}, TODAY, url)
    assert report.outcome == "not audited"
    assert report.lines
    assert all("\n" not in line for line in report.lines)
    assert audit(lock, {}, TODAY, "http://127.0.0.1:9/v1/query").outcome == "not audited"
    assert main([str(lock), "--osv-url", "http://127.0.0.1:9/v1/query"]) == 2


def test_nothing_to_audit(tmp_path: Path) -> None:
    """A file without a pinned package is not clean either."""
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert audit(tmp_path / "empty.txt", {}, TODAY).outcome == "not audited"


def test_acceptances_can_be_read() -> None:
    """The project's own acceptances have their form."""
    read_acceptances()
