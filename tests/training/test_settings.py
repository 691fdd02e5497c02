from __future__ import annotations

from pathlib import Path

import pytest

from bentos.training import TrainingError, settings
from bentos.training.settings import ThresholdMethod


def test_packaged_file_holds_every_setting() -> None:
    """The packaged YAML is complete: it resolves with nothing else."""
    chosen = settings.load({}, None, [])
    assert chosen.lightgbm.trials >= 1
    assert chosen.registry.minimum_auc is None
    assert chosen.fairness.slices == []
    assert chosen.threshold.method is ThresholdMethod.youden


def test_later_sources_win(tmp_path: Path) -> None:
    """The data's settings replace the packaged ones, then the user's file does, then overrides."""
    suited = {"registry": {"minimum_auc": 0.77, "margin": 0.5}, "split": {"seed": 1}}
    config = tmp_path / "mine.yaml"
    config.write_text("registry: {margin: 0.25}\nsplit: {seed: 2}\n")
    chosen = settings.load(suited, config, ["split.seed=3"])
    assert (chosen.registry.minimum_auc, chosen.registry.margin, chosen.split.seed) == (
        0.77,
        0.25,
        3,
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lightgbm.trails=3", "there is no setting 'lightgbm.trails'"),
        ("fairness.slices=[{column: a, colour: 1}]", "there is no setting"),
        ("lightgbm.trials=many", "setting 'lightgbm.trials': "),
        ("threshold.method=guess", "youden, f1, cost"),
        ("lightgbm=3", "settings: "),
        ("lightgbm.trials", "write key=value"),
        ("data.rows=[", "is not YAML"),
        ("lightgbm.trials=0", "setting 'lightgbm.trials' is out of range"),
        ("split.test=0.9", "setting 'split' is out of range"),
        ("lightgbm.search.num_leaves=[31,7]", "'lightgbm.search.num_leaves' is out of range"),
        ("lightgbm.search.num_leaves=[7]", "'lightgbm.search.num_leaves' is out of range"),
        ("threshold.false_negative_cost=0", "setting 'threshold' is out of range"),
        ("registry.margin=-1", "setting 'registry.margin' is out of range"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(override: str, words: str) -> None:
    """An unknown key, a wrong type and a senseless value each get one line that names the key."""
    with pytest.raises(TrainingError) as caught:
        settings.load({}, None, [override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2\n", "\x00"])
def test_config_that_holds_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    """A file that is not YAML, or a list, is refused by its name."""
    config = tmp_path / "mine.yaml"
    config.write_text(content)
    with pytest.raises(TrainingError, match=r"mine\.yaml"):
        settings.load({}, config, [])


def test_digest_tells_settings_apart() -> None:
    """Equal settings have equal digests, whatever way they came; another value changes it."""
    plain = settings.load({}, None, [])
    same = settings.load({"split": {"seed": 9}}, None, [f"split.seed={plain.split.seed}"])
    other = settings.load({}, None, ["split.seed=9"])
    assert settings.digest(plain) == settings.digest(same)
    assert settings.digest(plain) != settings.digest(other)


def test_dump_loads_again(tmp_path: Path) -> None:
    """The YAML that a run keeps gives the same settings when it is passed to --config."""
    chosen = settings.load({}, None, ["threshold.method=cost", "data.rows=100"])
    kept = tmp_path / "settings.yaml"
    kept.write_text(settings.dump(chosen))
    assert settings.load({}, kept, []) == chosen


def test_flatten_names_every_value_by_its_key() -> None:
    """MLflow's parameters are the dotted keys, enums by name."""
    flat = settings.flatten(settings.load({}, None, []))
    assert flat["threshold.method"] == "youden"
    assert flat["lightgbm.search.num_leaves"] == "[7, 31]"
    assert flat["data.rows"] == "None"
