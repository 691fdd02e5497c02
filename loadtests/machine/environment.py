"""What a measurement was made on: machine, versions, date. No host name, no path."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
# What the numbers depend on most.
_PACKAGES = ("bentoml", "lightgbm", "msgspec", "numpy", "uvicorn", "uvloop", "httptools")


def describe() -> dict[str, str]:
    """Give the lines with which a report begins."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib():.1f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {_locked(name)}" for name in _PACKAGES),
        "commit": _commit(),
    }


def today() -> str:
    """Give the date (UTC) that begins a result's file name."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def _processor() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _locked(name: str) -> str:
    text = (_ROOT / "uv.lock").read_text()
    found = re.search(rf'^name = "{re.escape(name)}"\nversion = "([^"]+)"', text, re.M)
    return found[1] if found else "unknown"


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            cwd=_ROOT,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
