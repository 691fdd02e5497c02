"""The sizing table says what committed results say."""

from __future__ import annotations

import re

from tests.k8s.rendered import K8S

README = (K8S / "README.md").read_text()


def _rows() -> list[tuple[str, str, str]]:
    section = README.partition("## How much of what")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.+?) \| (.+?) \| \[.+\]\((.+)\) \|$", section, re.MULTILINE)
    return [(what, found, path) for what, found, path in lines]


def _is_in(number: str, text: str) -> bool:
    return re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)", text) is not None


def test_numbers_are_measured() -> None:
    """Every number of the table stands in the result that its row names."""
    rows = _rows()
    assert len(rows) >= 8
    for what, found, path in rows:
        text = (K8S / path).read_text()
        numbers = [each for each in re.findall(r"\d[\d,.]*\d", found) if each != "1,000"]
        assert numbers, what
        for number in numbers:
            assert _is_in(number, text), f"{what}: {number} is not in {path}"


def test_a_changed_number_would_be_found() -> None:
    """A number that is part of another is not taken for it."""
    assert _is_in("22,060", "| 21,952 | 22,060 | 3.30 |")
    assert not _is_in("2,060", "| 21,952 | 22,060 | 3.30 |")
    assert not _is_in("12.6", "| 12.64 |")
