"""Which models can be explained exactly, and in what unit their contributions are. Pure."""

from __future__ import annotations

import msgspec

METHOD = "exact TreeSHAP: LightGBM's own feature contributions, which add up to the raw score"

# Objectives by what their link makes of the raw score; LightGBM's names for them in a model's text
# (src/objective/*.hpp, `ConvertOutput`).
_LOG_ODDS = ("binary", "cross_entropy", "multiclassova")
_LOGARITHM = ("gamma", "poisson", "tweedie")
_SAME = (
    *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
    *("lambdarank", "rank_xendcg", "none", "custom"),
)


class Trees(msgspec.Struct, frozen=True):
    """What a booster's text says of its explanation.

    `objective`: LightGBM's name for it. `unit`: of the raw score and all contributions.
    `is_averaged`: the raw score is the mean over the trees, not their sum (boosting type rf).
    """

    objective: str
    unit: str
    is_averaged: bool


def find_obstacle(engine: str, booster_text: str | None) -> str | None:
    """Say why a model cannot be explained; None where it can be."""
    if engine != "booster" or booster_text is None:
        return "it is not scored by LightGBM's trees, the only ones with exact contributions"
    # LightGBM: "Predicting SHAP feature contributions is not implemented for linear trees".
    if "\nis_linear=1" in booster_text:
        return "its trees have linear leaves, for which LightGBM computes no contributions"
    return None


def read_trees(booster_text: str) -> Trees:
    """Read the head of a booster's text."""
    head = booster_text.partition("\n\nTree=")[0].splitlines()
    objective = "none"
    for line in head:
        if line.startswith("objective="):
            objective = line.removeprefix("objective=")
    return Trees(objective.split(" ")[0], _unit(objective.split(" ")), "average_output" in head)


def _unit(objective: list[str]) -> str:
    name, parameters = objective[0], objective[1:]
    if name in _LOG_ODDS:
        slope = next((one[8:] for one in parameters if one.startswith("sigmoid:")), "1")
        return "log-odds" if float(slope) == 1.0 else f"log-odds divided by {slope}"
    if name == "multiclass":
        return "logarithm of the probability, up to a constant that all classes share"
    if name in _LOGARITHM:
        return "logarithm of the score"
    if name == "regression" and "sqrt" in parameters:
        return "square root of the score, with its sign"
    return "the score itself" if name in _SAME else "raw score"
