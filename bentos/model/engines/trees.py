"""A LightGBM model's text as trees: where they split, and what the splits gained. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

_TREE = "\n\nTree="
_END = "\n\nend of trees"
_LAST_FEATURE = b"max_feature_idx="


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
    head = model_text.partition(_TREE)[0]
    header = _values(head)
    if header.get("version") != "v4":
        raise Unsupported("the model's text is of another version than v4")
    if "average_output" in head.splitlines():
        raise Unsupported("the trees are averaged (boosting type rf)")
    name, *parameters = header.get("objective", "none").split(" ")
    trees = []
    for section in _sections(model_text):
        values = _values(section)
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
    names = _values(model_text.partition(_TREE)[0]).get("feature_names", "").split()
    gains = dict.fromkeys(names, 0.0)
    for section in _sections(model_text):
        values = _values(section)
        split_gains = map(float, values.get("split_gain", "").split())
        for feature, gain in zip(_integers(values, "split_feature"), split_gains, strict=True):
            gains[names[feature]] += gain
    return gains


def count_features(model_text: bytes) -> int:
    """How many features a model was trained on. Raises ValueError where it does not say."""
    head = model_text.partition(_TREE.encode())[0].splitlines()
    last = next((line for line in head if line.startswith(_LAST_FEATURE)), b"")
    return int(last.removeprefix(_LAST_FEATURE)) + 1


def _sections(model_text: str) -> Iterator[str]:
    # One at a time: all at once they are a second copy of a model of many megabytes.
    start = model_text.find(_TREE)
    while start >= 0:
        end = model_text.find(_TREE, start + len(_TREE))
        section = model_text[start + len(_TREE) : end if end >= 0 else None]
        yield section.partition(_END)[0]
        start = end


def _values(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.splitlines() if "=" in line)


def _integers(values: Mapping[str, str], name: str) -> tuple[int, ...]:
    return tuple(map(int, values.get(name, "").split()))
