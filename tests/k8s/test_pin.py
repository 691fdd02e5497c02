"""A release sets an overlay's images by digest."""

from __future__ import annotations

import pytest
import yaml

from k8s import pin
from tests.k8s.rendered import K8S

TEXT = (K8S / "overlays" / "production" / "kustomization.yaml").read_text()
DIGEST = "sha256:" + "0" * 64


def test_by_digest() -> None:
    """The one image changes, and no other line of the overlay does."""
    before = yaml.safe_load(TEXT)
    after = yaml.safe_load(pin.pin(TEXT, {"tabserve": f"ghcr.io/me:443/tabserve@{DIGEST}"}))
    first, second = after.pop("images")
    assert first == {"name": "tabserve", "newName": "ghcr.io/me:443/tabserve", "digest": DIGEST}
    assert second == before.pop("images")[1]
    assert after == before


@pytest.mark.parametrize("image", ["tabserve", "tabserve:latest", "tabserve@sha256:12", ""])
def test_what_is_not_fixed(image: str) -> None:
    """A tag that moves and a digest that is none are refused."""
    with pytest.raises(SystemExit, match=r"^tabserve: an image is"):
        pin.pin(TEXT, {"tabserve": image})
