"""`python -m k8s.deploy OVERLAY`: apply an overlay to the cluster of kubectl's context, and wait.

It makes no Secret: those are there before.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from k8s.secrets import NAMESPACE

OVERLAYS = Path(__file__).parent / "overlays"
OWN = ("kubectl", "--namespace", NAMESPACE)


def need(*programs: str) -> None:
    """Raises SystemExit with one line that names what is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"this needs {' and '.join(missing)} on PATH")


def run(*command: str, text: str | None = None, is_quiet: bool = False) -> str:
    """Run a command. Raises SystemExit with its last line if it fails."""
    done = subprocess.run(  # noqa: S603 - our own words
        command, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise SystemExit(f"{command[0]} {command[1]}: {lines[-1]}")
    if not is_quiet and done.stdout:
        print(done.stdout, end="", flush=True)  # noqa: T201 - progress
    return done.stdout


def deploy(name: str) -> None:
    """Apply an overlay; raises SystemExit with one line for whatever kubectl refuses."""
    # A Job cannot be changed, and the last migration is done.
    run(*OWN, "delete", "job", "tabserve-migrate", "--ignore-not-found", is_quiet=True)
    # Canaries and autoscalers own fields of their own; what the overlay says is the overlay's.
    run(
        *("kubectl", "apply", "--server-side", "--force-conflicts"),
        *("--kustomize", str(OVERLAYS / name)),
    )
    wait()


def wait() -> None:
    """Wait for every Deployment and StatefulSet, and for the migration."""
    kinds = "deployments,statefulsets"
    for item in run(*OWN, "get", kinds, "--output", "name", is_quiet=True).split():
        run(*OWN, "rollout", "status", item, "--timeout=300s")
    run(*OWN, "wait", "--for=condition=complete", "job/tabserve-migrate", "--timeout=300s")


def main(name: str) -> None:
    """Raises SystemExit with one line for an unknown overlay."""
    known = sorted(path.name for path in OVERLAYS.iterdir() if path.is_dir())
    if name not in known:
        raise SystemExit(f"OVERLAY must be one of {', '.join(known)}")
    need("kubectl")
    deploy(name)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
