"""The report: one file, the most drifted first, and nothing unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from bentos.model.contract import Contract, Feature
from monitoring.drift import job
from monitoring.drift.decision.findings import Check, ScoreFinding
from monitoring.drift.decision.sample import Sample
from monitoring.drift.job import Compared
from monitoring.drift.report import page as report
from monitoring.drift.report import pictures
from monitoring.drift.settings import Settings
from tests.monitoring.conftest import NOW, QUICK, Written, make_frame


@pytest.fixture
def compared(log: Written) -> Compared:
    """A version whose owner drifted much and whose income drifted less."""
    frame = make_frame(1_500, seed=3)
    frame["income"] *= 1.15
    frame["owner"] = True
    log.add(frame)
    (item,) = job.work(Settings(store=log.url, limits=QUICK), NOW, "run-1")
    return item


def render(item: Compared) -> str:
    return report.render(item.entry, item.contract, item.reference, item.window)


class Tags(HTMLParser):
    """Collects opened and closed tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_is_one_file(compared: Compared, tmp_path: Path) -> None:
    """No script, no link to another host, a picture a feature; well-formed."""
    path = report.write(
        tmp_path / "new",
        "job",
        compared.entry,
        compared.contract,
        compared.reference,
        compared.window,
    )
    text = path.read_text()
    assert path.name == "job-credit-v1-20261121T120000Z.html"
    assert "<script" not in text
    # Links lead to places of the page itself.
    assert not re.search(r"src=|href=\"[^#]|url\(|@import|https?://", text)
    for target in re.findall(r'href="#([^"]*)"', text):
        assert f'id="{target}"' in text
    # One for each feature, and one for the scores.
    assert text.count("<svg") == 5
    tags = Tags()
    tags.feed(text)
    assert tags.open == []


def test_the_most_drifted_come_first(compared: Compared) -> None:
    """Effect times importance: a little in what matters comes before much in what does not."""
    names = [feature.name for feature in report.sort_features(compared.entry.features)]
    assert names[:2] == ["income", "owner"]
    drifted = [feature.drifted for feature in report.sort_features(compared.entry.features)]
    assert drifted == sorted(drifted, reverse=True)


def test_everything_is_escaped(compared: Compared) -> None:
    """Names, categories and reasons are other people's text."""
    hostile = "<img src=x onerror=alert(1)>\"'&"
    features = [
        msgspec.structs.replace(feature, name=hostile, note=hostile)
        for feature in compared.entry.features
    ]
    entry = msgspec.structs.replace(
        compared.entry, model=hostile, version=hostile, reason=hostile, features=features
    )
    text = render(replace(compared, entry=entry))
    assert "<img" not in text
    assert "&lt;img" in text
    drawn = pictures.draw_categories(["<b>"] * 5, ["<script>"] * 5)
    assert "<b>" not in drawn
    assert "<script>" not in drawn


def test_a_file_name_is_safe(compared: Compared) -> None:
    """A model's name cannot lead out of the folder, and the link is the file's."""
    entry = msgspec.structs.replace(compared.entry, model="../../etc/x", version="a b")
    name = report.name_file("../job", entry)
    assert re.fullmatch(r"\.\._job-\.\._\.\._etc_x-a_b-[0-9a-f]{8}-20261121T120000Z\.html", name)
    assert report.link("https://host/reports/", "../job", entry) == f"https://host/reports/{name}"
    assert report.link("", "job", entry) == ""


def test_names_that_look_alike_are_files_apart(compared: Compared) -> None:
    """What a safe name cannot hold, or is cut off, still tells two versions apart."""
    versions = ("a b", "a/b", "x" * 300, "x" * 301, "a_b")
    entries = [msgspec.structs.replace(compared.entry, version=version) for version in versions]
    names = {report.name_file("job", entry) for entry in entries}
    assert len(names) == len(versions)
    assert max(len(name) for name in names) < 200
    assert report.name_results("a b") != report.name_results("a/b")


def test_an_outcome_without_rows_has_a_report(log: Written) -> None:
    """A version that was not compared has one that says why."""
    log.add(make_frame(600, seed=1), "unknown")
    (item,) = job.work(Settings(store=log.url, limits=QUICK), NOW, "run-1")
    text = render(item)
    assert "Nothing to compare with" in text
    assert "not registered" in text
    assert "Compared</th>" not in text
    assert "Reference</th>" not in text
    assert "In the pictures" not in text


def test_retraining_that_waits_is_no_contradiction(compared: Compared) -> None:
    """A run that asks, before as many in a row as the rule wants, is told as that."""
    text = render(compared)
    assert "Retraining, not yet: " in text
    assert "1 of 3 windows in a row" in text
    ruling = msgspec.structs.replace(compared.entry.retraining, needed=True)
    asked = msgspec.structs.replace(compared.entry, retraining=ruling)
    assert "Retraining is asked for: " in render(replace(compared, entry=asked))


def test_levels_stand_beside_each_other(compared: Compared) -> None:
    """Mean score and share of decisions, of reference and window."""
    assert compared.reference is not None
    assert compared.window is not None
    text = render(compared)
    for name, before, after in (
        ("mean score", compared.reference.scores[""].mean(), compared.window.scores[""].mean()),
        (
            "share decided for 1",
            (compared.reference.scores[""] >= 0.5).mean(),
            (compared.window.scores[""] >= 0.5).mean(),
        ),
    ):
        cells = f'<td class="n">{before:.4g}</td><td class="n">{after:.4g}</td>'
        assert f"<td>{name}</td>{cells}" in text


def test_each_class_has_its_caption(compared: Compared) -> None:
    """Pictures of a multiclass model's scores are told apart, and so are its decisions."""
    names = ("low", "middle", "<high>")
    random = np.random.default_rng(1)
    sides = [
        Sample(pd.DataFrame(index=range(100)), pd.DataFrame(random.random((100, 3)), columns=names))
        for _ in range(2)
    ]
    contract = Contract(
        (Feature("income", "float", "double"),), "multiclass", "booster", classes=names
    )
    means = dict.fromkeys(names, 0.5)
    score = ScoreFinding(False, [Check("score_ks", 0.1, 0.5, 0.1, of="low")], means, means)
    entry = msgspec.structs.replace(compared.entry, score=score, features=[])
    text = report.render(entry, contract, *sides)
    for name in ("low", "middle", "&lt;high&gt;"):
        assert f"<figcaption>score of {name}</figcaption>" in text
        assert f"<td>mean score of {name}</td>" in text
        assert f"<td>share decided for {name}</td>" in text


def test_tables_scroll_by_themselves(compared: Compared) -> None:
    """On a narrow screen the page stays where it is: each table is in a box that moves."""
    text = render(compared)
    assert ".wide{overflow-x:auto}" in text
    assert text.count("<table>") == text.count('<div class="wide"><table>')
    # The overview is as wide as the screen.
    assert text.count("<table") == text.count("<table>") + 1


def test_the_overview_comes_first(compared: Compared) -> None:
    """Every part and feature with its verdict and its effect, above all details."""
    text = render(compared)
    overview = text[text.index("<h2>Overview") : text.index("<h2>What was compared")]
    names = re.findall(r'<a href="#[^"]*">([^<]*)</a>', overview)
    assert names == ["Scores and decisions", "All features together", "income", "owner", *names[4:]]
    assert set(names[4:]) == {"age", "region"}
    assert "drift: distribution" in overview
    assert text.index("Overview") < text.index("<details")
    assert text.count("<details") == 4
    assert text.count("<details open") == 0
    assert len(re.findall(r'<details id="feature-\d" open>', text)) == 2


def test_changes_are_said_in_words(compared: Compared) -> None:
    """The category that moved by its shares, the number by its middle."""
    text = render(compared)
    assert re.search(r"<li>“true”: \d+\.\d% → 100\.0% of the values \(\+\d+\.\d percentage", text)
    assert re.search(r"<li>middle value [\d,]+ → [\d,]+</li>", text)


def test_each_outcome_says_what_to_do(compared: Compared, log: Written) -> None:
    """Drift names what to check; a version without a reference how to give it one."""
    assert "Check whether the population changed, or how it is measured: income and owner." in (
        render(compared)
    )
    log.add(make_frame(600, seed=1), "unknown")
    items = job.work(Settings(store=log.url, limits=QUICK), NOW, "run-2")
    (unknown,) = [item for item in items if item.entry.version == "unknown"]
    assert "or compare with a part of the log: --reference weeks:4." in render(unknown)


def test_tests_have_names_for_people(compared: Compared) -> None:
    """Neither the verdict nor a table names a test by its code."""
    text = render(compared)
    assert "income (distribution)" in text
    for code in ("(ks", "chi_square", "missing_rate", "score_psi", "mmd"):
        assert code not in text


def test_a_warning_is_on_the_page(compared: Compared) -> None:
    """What a reader of the verdict should know stands above the details."""
    entry = msgspec.structs.replace(compared.entry, warnings=["a client sends rows again"])
    text = render(replace(compared, entry=entry))
    assert '<p class="warning">a client sends rows again</p>' in text
