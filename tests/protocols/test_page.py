"""The page at `/`."""

from __future__ import annotations

import re

from bentos.protocols import page


def test_nothing_comes_from_elsewhere() -> None:
    """Every address on the page is relative, and the policy lets a browser ask this server only."""
    html = page.render("credit:1").decode()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert addresses
    assert all(address.startswith(("./", "data:,")) for address in addresses)
    assert "default-src 'none'" in page.POLICY
    assert "http" not in page.POLICY


def test_title_is_escaped() -> None:
    """A title cannot become markup."""
    assert b"<title>&lt;b&gt;</title>" in page.render("<b>")
