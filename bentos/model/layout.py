"""Where an imported model keeps its files, below its place in the Bento store."""

from __future__ import annotations

# BentoML's MLflow import puts the model's folder here.
MLFLOW_FOLDER = "mlflow_model"
# What the intake adds to that folder.
FOLDER = "tabserve"
CONTRACT = "contract.json"
BOOSTER = "booster.txt"
# XGBoost's or CatBoost's own model file, for lignum.
TREES = "trees.model"
# What that file does not say of them.
TREES_NOTES = "trees.json"
