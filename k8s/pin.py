"""`python -m k8s.pin OVERLAY NAME=IMAGE...`: set an overlay's images, as a release does.

IMAGE is REGISTRY/NAME@sha256:DIGEST, or REGISTRY/NAME:TAG with a fixed tag. It does what
`kustomize edit set image` does, which kubectl does not have.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

OVERLAYS = Path(__file__).parent / "overlays"
_IMAGE = re.compile(r"(?P<name>[^@\s]+?)(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))")


def pin(text: str, images: dict[str, str]) -> str:
    """Give a kustomization other images; raises SystemExit for what is no fixed image."""
    document = yaml.safe_load(text)
    listed = {entry["name"]: entry for entry in document.get("images", [])}
    for name, image in images.items():
        found = _IMAGE.fullmatch(image)
        if found is None or found["tag"] == "latest":
            raise SystemExit(f"{name}: an image is NAME@sha256:DIGEST or NAME:TAG, and not latest")
        entry = {"name": name, "newName": found["name"]}
        entry |= {"digest": found["digest"]} if found["digest"] else {"newTag": found["tag"]}
        listed[name] = entry
    document["images"] = list(listed.values())
    return str(yaml.safe_dump(document, sort_keys=False))


def main(arguments: list[str]) -> None:
    """Rewrite the overlay's kustomization."""
    if len(arguments) < 2 or not all("=" in each for each in arguments[1:]):
        raise SystemExit("usage: python -m k8s.pin OVERLAY NAME=IMAGE...")
    path = OVERLAYS / arguments[0] / "kustomization.yaml"
    if not path.is_file():
        raise SystemExit("there is no such overlay")
    images = dict(each.split("=", 1) for each in arguments[1:])
    path.write_text(pin(path.read_text(), images))


if __name__ == "__main__":
    main(sys.argv[1:])
