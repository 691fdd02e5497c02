"""One training: split, candidates, evaluation, and everything that MLflow should keep of it.

A parent run holds the settings and the data; a child run for each candidate holds its
numbers and pictures, and LightGBM's also the model with its evidence. The registry is not
touched here.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import mlflow.lightgbm
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric
from mlflow.models import infer_signature

from bentos.model.bundle import Decision
from bentos.model.intake.tracking import open_experiment
from bentos.training import (
    TrainingError,
    bars,
    candidates,
    card,
    evaluation,
    evidence,
    fairness,
    figures,
    importance,
    settings,
)
from bentos.training.split import divide, divide_by_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bentos.training.candidates import Candidate
    from bentos.training.data import Dataset
    from bentos.training.fairness import Slice
    from bentos.training.settings import Settings

BASELINE = "logistic_regression"
SERVED = "lightgbm"

# What MLflow needs to load the model again. Given, because finding it out takes MLflow a process
# of its own and half a minute.
REQUIREMENTS = ("lightgbm", "scikit-learn", "skops", "numpy", "pandas")
EXAMPLE_ROWS = 3
# Of each class in each part: as many as a random split of the smallest data leaves.
MINIMUM_PART_ROWS = 10


@dataclass(frozen=True)
class Parts:
    """The data, whole and in parts."""

    whole: Dataset
    train: Dataset
    validation: Dataset
    test: Dataset

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of each part."""
        return {
            "training": len(self.train.outcomes),
            "validation": len(self.validation.outcomes),
            "test": len(self.test.outcomes),
        }


@dataclass(frozen=True)
class Result:
    """A candidate and what it is worth on the test rows."""

    candidate: Candidate
    run_id: str
    threshold: float
    metrics: dict[str, float]
    slices: list[Slice]


@dataclass(frozen=True)
class Trained:
    """A whole training. `model_uri`: the logged LightGBM model, `models:/m-...`."""

    run_id: str
    test: Dataset
    results: dict[str, Result]
    model_uri: str

    @property
    def served(self) -> Result:
        """The LightGBM candidate."""
        return self.results[SERVED]

    @property
    def baseline(self) -> Result:
        """The candidate that has to be beaten."""
        return self.results[BASELINE]


def partition(dataset: Dataset, chosen: Settings) -> Parts:
    """Split the data as the settings say."""
    shares = chosen.split
    if dataset.times is None:
        split = divide(dataset.outcomes, shares.seed, shares.validation, shares.test)
    else:
        split = divide_by_time(dataset.times, shares.validation, shares.test)
        for part in (split.train, split.validation, split.test):
            counts = np.bincount(dataset.outcomes[part], minlength=2)
            if counts.min() < MINIMUM_PART_ROWS:
                raise TrainingError(
                    f"a part of the split by time has {int(counts.min())} rows of one class, "
                    f"{MINIMUM_PART_ROWS} are needed: take other shares, or another column"
                )
    return Parts(
        dataset,
        dataset.take(split.train),
        dataset.take(split.validation),
        dataset.take(split.test),
    )


def train(dataset: Dataset, chosen: Settings, name: str, report: Callable[[str], None]) -> Trained:
    """Train and log every candidate. `name`: the registered model's, for the card.

    Raises TrainingError for slices that the data cannot give.
    """
    fairness.require(dataset.features, chosen.fairness.slices)
    parts = partition(dataset, chosen)
    report(", ".join(f"{count:,} {part} rows" for part, count in parts.rows.items()))
    with mlflow.start_run(
        experiment_id=open_experiment(chosen.experiment), run_name=f"train {name}"
    ) as parent:
        mlflow.log_params(settings.flatten(chosen))
        mlflow.log_text(settings.dump(chosen), "settings.yaml")
        _log_inputs(parts)
        results: dict[str, Result] = {}
        for fitted in (
            lambda: candidates.fit_logistic(parts.train, chosen.logistic_regression),
            lambda: candidates.fit_forest(parts.train, chosen.random_forest),
        ):
            with _child(report, fitted) as (candidate, run_id):
                results[candidate.name] = _evaluate(candidate, run_id, parts, chosen)
        with _child(
            report,
            lambda: candidates.fit_lightgbm(parts.train, parts.validation, chosen.lightgbm, report),
        ) as (candidate, run_id):
            result = _evaluate(candidate, run_id, parts, chosen)
            results[candidate.name] = result
            report("  logging the model with its evidence")
            model_uri = _log_model(result, results, parts, chosen, name)
    return Trained(parent.info.run_id, parts.test, results, model_uri)


@contextmanager
def _child(
    report: Callable[[str], None], fit: Callable[[], Candidate]
) -> Iterator[tuple[Candidate, str]]:
    """Fit a candidate inside a child run of its own."""
    # MLflow would put a nested run into its default experiment, not into the parent's.
    parent = mlflow.active_run()
    experiment_id = parent.info.experiment_id if parent else None
    with mlflow.start_run(experiment_id=experiment_id, nested=True) as run:
        started = time.monotonic()
        candidate = fit()
        mlflow.set_tag("mlflow.runName", candidate.name)
        seconds = time.monotonic() - started
        mlflow.log_metric("fit_seconds", seconds)
        report(f"{candidate.name}: fitted in {seconds:.1f} s")
        yield candidate, str(run.info.run_id)


def _log_inputs(parts: Parts) -> None:
    """Tell MLflow which data set went into the run, with a digest over all its rows."""
    target, source = parts.whole.description.target.name, parts.whole.source
    for context, part in (
        ("training", parts.train),
        ("validation", parts.validation),
        ("test", parts.test),
    ):
        frame = _plain(part.features).assign(**{target: part.labels})
        with warnings.catch_warnings():
            # MLflow warns of whole numbers, which cannot be missing: a target never is.
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")
            # A file has two readings in MLflow, which are of one and the same kind.
            warnings.filterwarnings("ignore", "The specified dataset source can be interpreted")
            logged = from_pandas(
                frame,
                source=source,
                targets=target,
                name=parts.whole.description.name,
                digest=part.digest,
            )
            mlflow.log_input(logged, context=context)
    mlflow.set_tag("data_digest", parts.whole.digest)


def _plain(features: pd.DataFrame) -> pd.DataFrame:
    """Categories as strings: what clients send, and what the signature should say."""
    return features.astype(
        {name: object for name in features if isinstance(features[name].dtype, pd.CategoricalDtype)}
    )


def _evaluate(candidate: Candidate, run_id: str, parts: Parts, chosen: Settings) -> Result:
    """Choose the threshold on the validation rows, measure on the test rows, log both."""
    _log_inputs(parts)
    mlflow.log_params(candidate.parameters)
    validation, test = parts.validation, parts.test
    validation_scores = candidate.score(validation.features)
    threshold = evaluation.choose_threshold(
        validation.outcomes, validation_scores, chosen.threshold
    )
    scores = candidate.score(test.features)
    metrics = evaluation.measure(test.outcomes, scores, threshold)
    slices = fairness.compare(
        test.features, test.outcomes, scores, threshold, chosen.fairness.slices
    )
    tuned = evaluation.measure(validation.outcomes, validation_scores, threshold)
    mlflow.log_metrics(
        {
            "threshold": threshold,
            **{f"test_{key}": value for key, value in metrics.items()},
            **{f"validation_{key}": value for key, value in tuned.items()},
            **{key: value for item in slices for key, value in item.metrics.items()},
        }
    )
    mlflow.log_dict({"slices": [vars(item) for item in slices]}, "fairness.json")
    _log_trials(run_id, candidate.history)
    pictures = {
        "roc": figures.draw_roc(test.outcomes, scores, threshold, metrics),
        "precision_recall": figures.draw_precision_recall(
            test.outcomes, scores, threshold, metrics
        ),
        "calibration": figures.draw_calibration(test.outcomes, scores, metrics),
        "confusion": figures.draw_confusion(test.outcomes, scores, threshold, parts.whole.classes),
        "scores": figures.draw_scores(test.outcomes, scores, threshold, parts.whole.classes),
    }
    if isinstance(candidate.model, LGBMClassifier):
        rows = test.features.head(chosen.evidence.contribution_rows)
        ranked = importance.rank(candidate.model, rows)
        mlflow.log_text(ranked.to_json(orient="records", indent=2), "importance.json")
        pictures["importance"] = figures.draw_importance(ranked)
    for title, figure in pictures.items():
        mlflow.log_figure(figure, f"figures/{title}.png")
    return Result(candidate, run_id, threshold, metrics, slices)


def _log_trials(run_id: str, history: list[float]) -> None:
    """One point a trial, so that MLflow draws the search as a curve."""
    if history:
        now = int(time.time() * 1000)
        points = [
            Metric("trial_validation_roc_auc", value, now, step)
            for step, value in enumerate(history)
        ]
        mlflow.MlflowClient().log_batch(run_id, metrics=points)


def _log_model(
    result: Result, results: dict[str, Result], parts: Parts, chosen: Settings, name: str
) -> str:
    """Log the model, its signature and its evidence; returns its URI."""
    train, model = parts.train, result.candidate.model
    if not isinstance(model, LGBMClassifier):
        raise TypeError("only a LightGBM model is logged")
    versions = {package: version(package) for package in REQUIREMENTS}
    decision = Decision(
        threshold=result.threshold,
        method=evaluation.explain_threshold(chosen.threshold, len(parts.validation.outcomes)),
    )
    text = card.write(
        card.Facts(
            name=name,
            dataset=parts.whole,
            rows=parts.rows,
            metrics={key: item.metrics for key, item in results.items()},
            served=SERVED,
            decision=decision,
            slices=result.slices,
            parameters=result.candidate.parameters,
            versions=versions,
            settings_digest=settings.digest(chosen),
            time=chosen.split.time,
            bars=bars.parse(chosen.registry.require),
        )
    )
    plain = _plain(train.features)
    with tempfile.TemporaryDirectory() as folder, _hushed():
        paths = evidence.write(
            Path(folder),
            result.candidate,
            train,
            parts.test,
            decision,
            text,
            chosen.evidence,
            chosen.split.seed,
        )
        logged = mlflow.lightgbm.log_model(
            model,
            name="model",
            signature=infer_signature(plain, model.predict(train.features.head(EXAMPLE_ROWS))),
            input_example=plain.head(EXAMPLE_ROWS),
            pip_requirements=[f"{package}=={found}" for package, found in versions.items()],
            extra_files=[str(path) for path in paths],
            metadata={"data_digest": parts.whole.digest},
        )
    mlflow.log_text(text, "model_card.md")
    return str(logged.model_uri)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep MLflow's warnings off the terminal while it logs a model.

    It tries the input example on its own scoring server, which cannot pass text to a LightGBM
    category; tabserve can.
    """
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # MLflow compares column names in a way that pandas 4 will no longer have.
            warnings.filterwarnings("ignore", "Operation with range is deprecated")
            yield
    finally:
        logger.setLevel(level)
