"""What the build machine needs to reach its package registries, for the build alone.

Each Containerfile mounts this folder for the commands that install packages and sources
`env` from it. A mount is in no layer, so nothing of it is in an image.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# The environment variables that name these files.
CERTIFICATES = "IMAGE_CA"
PIP_CONFIGURATION = "IMAGE_PIP_CONF"
WHEELS = "IMAGE_WHEELS"

_ENV = """\
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
if [ -f /site/ca.crt ]; then
    export SSL_CERT_FILE=/site/ca.crt PIP_CERT=/site/ca.crt
fi
if [ -f /site/pip.conf ]; then
    export PIP_CONFIG_FILE=/site/pip.conf
fi
if [ -d /site/wheels ]; then
    export PIP_FIND_LINKS=/site/wheels
fi
"""


def lay_out(folder: Path, wheels: str = "") -> None:
    """Write the folder; `wheels` is a pattern of the files to take from IMAGE_WHEELS.

    Raises SystemExit with one line if a variable names what is not there.
    """
    folder.mkdir(parents=True)
    (folder / "env").write_text(_ENV)
    for variable, name in ((CERTIFICATES, "ca.crt"), (PIP_CONFIGURATION, "pip.conf")):
        if os.environ.get(variable):
            shutil.copyfile(_existing(variable), folder / name)
    if wheels and os.environ.get(WHEELS):
        (folder / "wheels").mkdir()
        for path in _existing(WHEELS).glob(wheels):
            shutil.copyfile(path, folder / "wheels" / path.name)


def _existing(variable: str) -> Path:
    path = Path(os.environ[variable])
    if not path.exists():
        raise SystemExit(f"{variable}: there is no such file or folder")
    return path
