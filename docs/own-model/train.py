"""Train a classifier of late flights and log it in MLflow. Nothing here knows tabserve.

    python train.py flights.csv.gz

Trains on the flights until August, and writes the later ones to held-out.csv.
"""

import sys

import lightgbm
import mlflow
import pandas as pd

flights = pd.read_csv(sys.argv[1])
categories = ["carrier", "origin", "manufacturer"]
features = flights.drop(columns=["scheduled", "arrival_delay", "late"])
features = features.astype(dict.fromkeys(categories, "category"))

is_past = flights["month"] <= 8
model = lightgbm.LGBMClassifier(n_estimators=120, num_leaves=15, learning_rate=0.05, verbose=-1)
model.fit(features[is_past], flights["late"][is_past])
flights[~is_past].to_csv("held-out.csv", index=False)

# The signature says what a client sends: categories are strings.
sent = features.astype(dict.fromkeys(categories, object))
with mlflow.start_run():
    mlflow.lightgbm.log_model(
        model,
        name="model",
        signature=mlflow.models.infer_signature(sent, model.predict(features)),
        # Given, because finding them out takes MLflow a minute.
        pip_requirements=["lightgbm", "pandas", "scikit-learn"],
        registered_model_name="flight-late",
    )
