"""`python -m k8s.kind up|down`: a kind cluster with everything in it, tried out; and its end.

Both may be called again. `make kind-up` builds the images before.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from k8s import secrets
from k8s.deploy import OWN, deploy, need, run
from k8s.images.bento import project_version

NAME = "tabserve"
CONTEXT = f"kind-{NAME}"
# By version, as kind's own default moves with kind.
NODE = "docker.io/kindest/node:v1.34.0"
BASE = Path(__file__).parent / "base"


def up() -> None:
    """Make the cluster if it is not there, bring images and manifests in, wait."""
    need("docker", "kind", "kubectl")
    if NAME not in run("kind", "get", "clusters", is_quiet=True).split():
        run("kind", "create", "cluster", "--name", NAME, "--image", NODE, "--wait", "120s")
    else:
        run("kubectl", "config", "use-context", CONTEXT, is_quiet=True)
    version = project_version()
    with tempfile.TemporaryDirectory(prefix="tabserve-kind-") as folder:
        # `kind load docker-image` breaks with docker's containerd image store; an archive does not.
        archive = str(Path(folder) / "images.tar")
        images = [f"docker.io/library/{name}:{version}" for name in ("tabserve", "tabserve-drift")]
        run("docker", "image", "save", "--output", archive, *images)
        run("kind", "load", "image-archive", archive, "--name", NAME)
    make_secrets()
    deploy("kind")


def make_secrets() -> None:
    """Make the Secrets, if there is none. Raises SystemExit where some are there and some not."""
    run("kubectl", "apply", "--filename", str(BASE / "namespace.yaml"))
    present = run(*OWN, "get", "secrets", "--output", "name", is_quiet=True).split()
    made = secrets.make()
    missing = sorted(name for name in made if f"secret/{name}" not in present)
    if len(missing) == len(made):
        run("kubectl", "create", "--filename", "-", text=secrets.render(made))
    elif missing:
        # Passwords belong together: half of a new set would fit to nothing.
        raise SystemExit(f"these Secrets are missing: {', '.join(missing)}")


def down() -> None:
    """Remove the cluster, if it is there."""
    need("docker", "kind")
    if NAME in run("kind", "get", "clusters", is_quiet=True).split():
        run("kind", "delete", "cluster", "--name", NAME)


if __name__ == "__main__":
    commands = {"up": up, "down": down}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        raise SystemExit("usage: python -m k8s.kind up|down")
    commands[sys.argv[1]]()
