"""A LightGBM model's text as trees: where they split, and what the splits gained. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Unsupported(Exception):
    """The model is not one that an accelerator scores; the message says why."""


class Tree(msgspec.Struct, frozen=True):
    """One tree. Children below zero are leaves: child c is leaf -c - 1."""

    features: tuple[int, ...]
    thresholds: tuple[str, ...]
    decisions: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaves: tuple[str, ...]
    category_bounds: tuple[int, ...]
    category_words: tuple[int, ...]


class Forest(msgspec.Struct, frozen=True):
    """All trees of a model, with what turns their sums into scores.

    Tree i adds to output i % `outputs`. `objective`: its name; `parameters`: the rest of
    LightGBM's objective line, `key:value`.
    """

    trees: tuple[Tree, ...]
    features: int
    outputs: int
    objective: str
    parameters: dict[str, str]


def parse(model_text: str) -> Forest:
    """Read a model as LightGBM writes it (version v4). Raises Unsupported."""
    head, *sections = model_text.split("\n\nTree=")
    header = _values(head)
    if header.get("version") != "v4":
        raise Unsupported("the model's text is of another version than v4")
    if "average_output" in head.splitlines():
        raise Unsupported("the trees are averaged (boosting type rf)")
    name, *parameters = header.get("objective", "none").split(" ")
    trees = []
    for section in sections:
        values = _values(section.partition("\n\nend of trees")[0])
        if values.get("is_linear", "0") != "0":
            raise Unsupported("the trees have linear leaves")
        trees.append(
            Tree(
                features=_integers(values, "split_feature"),
                thresholds=tuple(values.get("threshold", "").split()),
                decisions=_integers(values, "decision_type"),
                left=_integers(values, "left_child"),
                right=_integers(values, "right_child"),
                leaves=tuple(values["leaf_value"].split()),
                category_bounds=_integers(values, "cat_boundaries"),
                category_words=_integers(values, "cat_threshold"),
            )
        )
    return Forest(
        trees=tuple(trees),
        features=int(header["max_feature_idx"]) + 1,
        outputs=int(header["num_tree_per_iteration"]),
        objective=name,
        parameters=dict(part.split(":", 1) for part in parameters if ":" in part),
    )


def add_up_gains(model_text: str) -> dict[str, float]:
    """What the splits on each feature took off the training loss, by feature name.

    The same numbers as LightGBM's `feature_importance("gain")`, for any version of the text.
    """
    head, *sections = model_text.split("\n\nTree=")
    names = _values(head).get("feature_names", "").split()
    gains = dict.fromkeys(names, 0.0)
    for section in sections:
        values = _values(section.partition("\n\nend of trees")[0])
        split_gains = map(float, values.get("split_gain", "").split())
        for feature, gain in zip(_integers(values, "split_feature"), split_gains, strict=True):
            gains[names[feature]] += gain
    return gains


def _values(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.splitlines() if "=" in line)


def _integers(values: Mapping[str, str], name: str) -> tuple[int, ...]:
    return tuple(map(int, values.get(name, "").split()))
