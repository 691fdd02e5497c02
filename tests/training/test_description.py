from __future__ import annotations

import pytest

from bentos.training import TrainingError, settings
from bentos.training.data import Dataset
from bentos.training.description import describe_reference, describe_unknown


def test_every_reference_feature_is_described(reference: Dataset) -> None:
    """The description and the packaged file have the same columns, and each has a sentence."""
    description = describe_reference()
    assert [column.name for column in description.features] == list(reference.features.columns)
    assert set(description.texts) == set(reference.features.columns)
    assert len(set(description.texts.values())) == len(description.features)


def test_amounts_name_their_unit() -> None:
    """Amounts are described as New Taiwan dollars."""
    texts = describe_reference().texts
    amounts = [name for name in texts if "amount" in name or "balance" in name]
    assert len(amounts) == 13
    assert all("New Taiwan dollars" in texts[name] for name in amounts)


def test_id_is_no_feature() -> None:
    """The client's number in the file is never learned from."""
    assert all(column.source.upper() != "ID" for column in describe_reference().features)


def test_settings_that_suit_the_data_resolve() -> None:
    """The reference data sets a bar of 0.77 and slices by sex and age."""
    chosen = settings.load(describe_reference().settings, None, [])
    assert chosen.registry.minimum_auc == 0.77
    assert [wanted.column for wanted in chosen.fairness.slices] == ["sex", "age"]


def test_licence_and_source_are_named() -> None:
    """CC BY asks for attribution: licence, source and paper are all there."""
    description = describe_reference()
    assert description.licence == "CC BY 4.0"
    assert "10.24432/C55S3H" in description.provenance
    assert "Yeh" in description.citation


def test_unknown_data_need_a_target() -> None:
    """A file of which nothing is known needs at least the name of its target."""
    with pytest.raises(TrainingError, match="--target"):
        describe_unknown("rows.csv", "")
