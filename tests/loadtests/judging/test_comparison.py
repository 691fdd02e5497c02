"""Profiles, and the report of a comparison from canned measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos import settings
from bentos.settings import Settings
from loadtests import compare
from loadtests.judging import chart, comparison, gains
from loadtests.judging.comparison import BATCHING, Comparison, Profile, Run
from loadtests.traffic.recorder import Passage, Tally

PROFILES = [
    Profile("plain", "tabserve", "off"),
    Profile("batching", "tabserve", "on", against="plain"),
]


def _passage(stage: str, users: int, rate: float, per_second: float, p50: float) -> Passage:
    return Passage(
        stage=stage,
        kind="predict",
        users=users,
        rate=rate,
        is_measured=True,
        started=0.0,
        ended=1.0,
        tallies={"predict": Tally(int(per_second), {}, p50, p50 * 2, p50 * 3, p50 * 4)},
        late_p99=0.1,
        cores=0.5,
        load_cores=0.3,
        rss_bytes=200_000_000,
        rss_growth=0.0,
    )


def _found(lone_p50: float = 0.51) -> Comparison:
    found = Comparison(
        environment={"date": "2026-01-01"},
        command="python -m loadtests.compare",
        plan="step",
        profiles=PROFILES,
        differences={"plain": 0.0, "batching": 0.0},
    )
    for number in range(3):
        slow = 1 + number  # a round that was slow for all leaves the ratios as they are
        for name, busy, p50 in (("plain", 1000.0, 0.5), ("batching", 2000.0, lone_p50)):
            passages = [
                _passage("1 at once", 1, 0, 900 / slow, p50 * slow),
                _passage("64 at once", 64, 0, busy / slow, 60_000 / busy * slow),
                _passage("100/s", 256, 100, 100, p50 * slow),
            ]
            found.runs.append(Run(name, number, 3.0, passages))
    return found


def test_profiles_name_only_known_settings() -> None:
    """Every setting of a profile is one of the service's, with a value that it takes."""
    known = {settings.variable(field): field for field in Settings.model_fields}
    for profile in comparison.read():
        fields = {known[name]: value for name, value in profile.settings.items()}
        Settings(_env_file=None, **fields)  # type: ignore[call-arg, arg-type]  # text, as read


def test_the_profiles_that_show_batching_differ_in_nothing_else() -> None:
    """Batching on by off says something of batching only if that alone differs."""
    profiles = {profile.name: profile.settings for profile in comparison.read()}
    for off, on in BATCHING:
        changed = profiles[off].items() ^ profiles[on].items()
        assert {name for name, _ in changed} == {"TABSERVE_BATCH_MAX_ROWS"}


@pytest.mark.parametrize(
    "text",
    [
        "- {name: a, server: none, what: x}",
        "- {name: a, server: tabserve, what: x, against: b}",
        "- {name: a, server: tabserve, what: x}\n- {name: a, server: tabserve, what: x}",
        "- {name: a, server: tabserve, what: x, settings: {TABSERVE_WORKERS: 1}}",
    ],
)
def test_malformed_profiles_are_refused(text: str, tmp_path: Path) -> None:
    """Unknown servers, unknown rivals, doubles, and values that are not text."""
    (tmp_path / "profiles.yaml").write_text(text)
    with pytest.raises(ValueError, match="a:"):
        comparison.read(tmp_path / "profiles.yaml")


def test_ratios_are_taken_within_rounds() -> None:
    """What a step bought is the median of the ratios of each round, with their range."""
    text = gains.render(_found())
    assert "| batching | plain | 2.00 (2.00 to 2.00) |" in text
    assert "| batching by plain | 64 at once | 2.00 (2.00 to 2.00) |" in text
    assert "helps +100%" in text


def test_what_a_step_lost_is_printed() -> None:
    """A lone caller's higher latency is among the losses; equal memory is not."""
    lost = gains.render(_found(0.6)).split("## Where a step lost")[1].split("## ")[0]
    assert "| batching | plain | 1 at once | p50 | 1.20 (1.20 to 1.20) | 3 of 3 rounds |" in lost
    assert "memory" not in lost


def test_a_lone_caller_is_judged() -> None:
    """Batching may cost a lone caller ten percent of the median, and not more."""
    assert "is the limit: met." in gains.render(_found(0.54))
    assert "is the limit: **missed**." in gains.render(_found(0.56))


def test_doubtful_numbers_are_named() -> None:
    """A generator at its limit, and other work on the server's core, are said out loud."""
    found = _found()
    assert "at its limit" not in gains.render(found)
    found.runs[0].passages[0].load_cores = 0.97
    found.runs[0].passages[1].other_cores = 0.4
    text = gains.render(found)
    assert (
        "at its limit** (a whole core, or late by more than 5 ms) in: plain at 1 at once." in text
    )
    assert "Not for publication: other work took up to 40%" in text


def test_a_profile_that_cannot_keep_up_has_no_numbers_there() -> None:
    """A rate beyond a profile's peak is a dash in its row, not a zero."""
    found = _found()
    for run in found.runs:
        if run.profile == "plain":
            run.passages.pop()
    section = gains.render(found).split("## 100/s")[1]
    assert "| plain | - | - |" in section
    assert "| batching | 100 |" in section


def test_exit_codes() -> None:
    """Different scores, failures and missing profiles are 1; a slower step is none of them."""
    assert compare.exit_code(_found(0.9)) == 0
    for change in ("differences", "failed", "failures"):
        found = _found()
        if change == "differences":
            found.differences["plain"] = 1e-16
        elif change == "failed":
            found.failed["plain"] = "not ready"
        else:
            found.runs[0].passages[0].tallies["predict"].failures["status 503"] = 1
        assert compare.exit_code(found) == 1


def test_a_comparison_survives_a_file(tmp_path: Path) -> None:
    """What is saved beside a report is read back the same."""
    comparison.save(_found(), tmp_path / "run.json")
    assert comparison.load(tmp_path / "run.json") == _found()


def test_charts_are_drawn(tmp_path: Path) -> None:
    """Two pictures, named in the report."""
    names = chart.draw(_found(), tmp_path, "2026-01-01-profiles")
    assert [(tmp_path / name).read_bytes()[:4] for name in names] == [b"\x89PNG"] * 2
    assert all(f"]({name})" in gains.render(_found(), names) for name in names)
