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
import pandas as pd
from lightgbm import LGBMModel
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
    evidence,
    explore,
    importance,
    settings,
)
from bentos.training.parts import Parts, partition
from bentos.training.tasks import evaluation, fairness, figures
from bentos.training.tasks import registry as tasks
from bentos.training.tasks.task import Evaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bentos.training import TaskName
    from bentos.training.candidates import Candidate
    from bentos.training.data import Dataset
    from bentos.training.settings import Settings
    from bentos.training.tasks.fairness import Slice

SERVED = "lightgbm"

# What MLflow needs to load the model again. Given, because finding it out takes MLflow a process
# of its own and half a minute.
REQUIREMENTS = ("lightgbm", "scikit-learn", "skops", "numpy", "pandas")
EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class Result:
    """A candidate and what it is worth on the test rows. `threshold`: of a binary score."""

    candidate: Candidate
    run_id: str
    threshold: float | None
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
        return self.results[tasks.pick(self.test.task).baseline]


def train(dataset: Dataset, chosen: Settings, name: str, report: Callable[[str], None]) -> Trained:
    """Train and log every candidate. `name`: the registered model's, for the card.

    Raises TrainingError for slices that the data cannot give.
    """
    fairness.require(dataset.features, chosen.fairness.slices)
    require_fitting(dataset.task, chosen)
    parts = partition(dataset, chosen)
    report(", ".join(f"{count:,} {part} rows" for part, count in parts.rows.items()))
    with mlflow.start_run(
        experiment_id=open_experiment(chosen.experiment), run_name=f"train {name}"
    ) as parent:
        mlflow.log_params(settings.flatten(chosen))
        mlflow.log_text(settings.dump(chosen), "settings.yaml")
        _log_inputs(parts)
        if chosen.data.explore:
            report("describing the data in explore.html of the run")
            mlflow.log_text(explore.describe(dataset), "explore.html")
        results: dict[str, Result] = {}
        for fitted in (
            lambda: candidates.fit_linear(parts.train, chosen.linear),
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


def require_fitting(task: TaskName, chosen: Settings) -> None:
    """Raise TrainingError for settings that a task has no use for."""
    if task != "binary" and chosen.registry.minimum_auc is not None:
        raise TrainingError(
            f"registry.minimum_auc is a bar for binary targets, this one is {task}: take "
            "registry.require, or --require"
        )
    known = tasks.pick(task).titles
    bars.require_known(bars.parse(chosen.registry.require), known, task)


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
    task, validation, test = tasks.pick(parts.whole.task), parts.validation, parts.test
    validation_scores = candidate.score(validation.features)
    threshold = None
    if task.name == "binary":
        threshold = evaluation.choose_threshold(
            validation.outcomes, validation_scores, chosen.threshold
        )
        mlflow.log_metric("threshold", threshold)
    scores = candidate.score(test.features)
    metrics = task.measure(test.outcomes, scores, threshold)
    slices = fairness.compare(
        test.features,
        test.outcomes,
        scores,
        chosen.fairness.slices,
        lambda outcomes, scored: task.measure_group(outcomes, scored, threshold),
    )
    tuned = task.measure(validation.outcomes, validation_scores, threshold)
    mlflow.log_metrics(
        {
            **{f"test_{key}": value for key, value in metrics.items()},
            **{f"validation_{key}": value for key, value in tuned.items()},
            **{key: value for item in slices for key, value in item.metrics.items()},
            # On how many rows: without it a comparison cannot know how exact a metric is.
            "test_rows": float(len(test.outcomes)),
            "validation_rows": float(len(validation.outcomes)),
        }
    )
    mlflow.log_dict({"slices": [item.as_dict() for item in slices]}, "fairness.json")
    _log_trials(run_id, candidate.history, task.deciding.metric)
    pictures = task.draw(Evaluated(test.outcomes, scores, threshold, parts.whole.classes, metrics))
    if isinstance(candidate.model, LGBMModel):
        rows = test.features.head(chosen.evidence.contribution_rows)
        ranked = importance.rank(candidate.model, rows)
        mlflow.log_text(ranked.to_json(orient="records", indent=2), "importance.json")
        pictures["importance"] = figures.draw_importance(ranked, task.contribution_unit)
        drawn = importance.draw_page(candidate.model, rows, candidate.name, task.contribution_unit)
        mlflow.log_text(drawn, "explanation.html")
    for title, figure in pictures.items():
        mlflow.log_figure(figure, f"figures/{title}.png")
    return Result(candidate, run_id, threshold, metrics, slices)


def _log_trials(run_id: str, history: list[float], metric: str) -> None:
    """One point a trial, so that MLflow draws the search as a curve."""
    if history:
        now = int(time.time() * 1000)
        points = [
            Metric(f"trial_validation_{metric}", value, now, step)
            for step, value in enumerate(history)
        ]
        mlflow.MlflowClient().log_batch(run_id, metrics=points)


def _log_model(
    result: Result, results: dict[str, Result], parts: Parts, chosen: Settings, name: str
) -> str:
    """Log the model, its signature and its evidence; returns its URI."""
    train, model = parts.train, result.candidate.model
    if not isinstance(model, LGBMModel):
        raise TypeError("only a LightGBM model is logged")
    versions = {package: version(package) for package in REQUIREMENTS}
    decision = None
    if result.threshold is not None:
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
