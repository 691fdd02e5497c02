"""A zoo of models, generated and seeded: what is fast on one model may be slow on another's.

`python -m loadtests.zoo FOLDER [NAME ...]` trains them, logs each with MLflow into FOLDER/NAME
with its evidence (`reference.parquet`, `golden.parquet`), writes FOLDER/NAME.jsonl with 10,000
rows and their scores, and brings it into the Bento store
as `zoo-NAME` with `tabserve import`. Needs the `mlflow` extra; nothing else here does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import catboost
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

_ROWS = 3_000
_SEED = 20161
_GOLDEN_ROWS = 100
# Rows that training never saw, each with the model's own score: load and proofs send them.
_SENT_ROWS = 10_000
_SCORE = "__score__"

_WORDS = (
    *("male : single", "male : divorced/separated", "female: married", "... < 0 DM", ">= 1'000 DM"),
    *("größer als 7 Jahre", "Ménage à trois", "日本語", "a, b; c", 'no "known" savings', "x/y\\z"),
)
_LONG = tuple(f"{number}: {'the purpose of this loan, in words: ' * 8}" for number in range(12))


class Animal(NamedTuple):
    """A trained model with its training frame. `classes`: None for a regression."""

    model: Any
    frame: pd.DataFrame
    classes: tuple[Any, ...] | None

    def score(self, frame: pd.DataFrame | None = None) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Score a frame, or that of training: float64 (rows,), or (rows, classes) for many."""
        frame = self.frame if frame is None else frame
        if self.classes is None:
            return np.asarray(self.model.predict(frame), dtype=np.float64)
        scores = np.asarray(self.model.predict_proba(frame), dtype=np.float64)
        return scores[:, 1] if len(self.classes) == 2 else scores


def _numbers(random: np.random.Generator, count: int, gaps: float = 0.0) -> pd.DataFrame:
    values = random.normal(size=(_ROWS, count)).round(3)
    values[random.random(values.shape) < gaps] = np.nan
    return pd.DataFrame(values, columns=[f"number {place}" for place in range(count)])


def _signal(random: np.random.Generator, frame: pd.DataFrame) -> pd.Series:
    signal = pd.Series(random.normal(scale=0.3, size=_ROWS))
    for place, name in enumerate(list(frame)[:12]):
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            signal += np.sin(column.cat.codes * (place + 1.0))
        elif column.dtype.kind in "fiub":
            signal += np.sin(column.astype(float).fillna(2.0) * (place + 1.0))
    return signal


def _binary(
    random: np.random.Generator, frame: pd.DataFrame, trees: int, **parameters: Any
) -> Animal:
    signal = _signal(random, frame)
    target = (signal > signal.median()).astype(int)
    model = lightgbm.LGBMClassifier(
        n_estimators=trees, verbose=-1, random_state=1, n_jobs=1, **parameters
    )
    return Animal(model.fit(frame, target), frame, (0, 1))


def _words(random: np.random.Generator, share: float) -> Animal:
    frame = _numbers(random, 6, gaps=0.2)
    for place in range(12):
        codes = random.integers(-1, len(_WORDS) - place % 3, _ROWS)
        frame[f"status {place}"] = pd.Categorical.from_codes(codes.tolist(), pd.Index(_WORDS))
    return _binary(random, frame, round(120 * share), num_leaves=15)


def _wide(random: np.random.Generator, share: float) -> Animal:
    return _binary(random, _numbers(random, 200, gaps=0.1), round(100 * share))


def _small(random: np.random.Generator, share: float) -> Animal:
    return _binary(random, _numbers(random, 5), 20)


def _deep(random: np.random.Generator, share: float) -> Animal:
    frame = _numbers(random, 30)
    return _binary(random, frame, round(1500 * share), num_leaves=63, min_child_samples=5)


def _classes(random: np.random.Generator, share: float) -> Animal:
    frame = _numbers(random, 15, gaps=0.05)
    signal = _signal(random, frame)
    target = pd.qcut(signal, 7, labels=[f"class {place}" for place in range(7)]).astype(str)
    model = lightgbm.LGBMClassifier(
        n_estimators=round(60 * share), verbose=-1, random_state=1, n_jobs=1
    )
    model.fit(frame, target)
    return Animal(model, frame, tuple(model.classes_.tolist()))


def _optional(random: np.random.Generator, share: float) -> Animal:
    # MLflow records a column with missing values as optional.
    frame = _numbers(random, 12, gaps=0.3)
    model = lightgbm.LGBMRegressor(
        n_estimators=round(150 * share), verbose=-1, random_state=1, n_jobs=1
    )
    return Animal(model.fit(frame, _signal(random, frame)), frame, None)


def _flags(random: np.random.Generator, share: float) -> Animal:
    frame = pd.DataFrame(
        {f"count {place}": random.integers(-5, 500, _ROWS) for place in range(10)}
        | {f"is {place}": random.random(_ROWS) < 0.4 for place in range(10)}
    )
    return _binary(random, frame, round(150 * share))


def _presence(random: np.random.Generator, share: float) -> Animal:
    """Whether a value is there decides: LightGBM writes such a split as `threshold=inf`."""
    frame = _numbers(random, 8, gaps=0.5)
    target = (frame.isna().sum(axis=1) + random.normal(size=_ROWS) > 4).astype(int)
    model = lightgbm.LGBMClassifier(
        n_estimators=round(100 * share), verbose=-1, random_state=1, n_jobs=1
    )
    return Animal(model.fit(frame, target), frame, (0, 1))


def _texts(random: np.random.Generator, share: float) -> Animal:
    """Long texts go through MLflow and pandas: no accelerator reads them."""
    frame = _numbers(random, 4)
    for place in range(3):
        texts = np.array(_LONG)[random.integers(0, len(_LONG), _ROWS)]
        frame[f"text {place}"] = pd.array(texts, dtype="str")
    signal = frame["number 0"] + frame["text 0"].str.len() / 100
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [f"text {place}" for place in range(3)]),
        remainder="passthrough",
    )
    model = make_pipeline(
        encoder, lightgbm.LGBMClassifier(n_estimators=round(50 * share), verbose=-1, n_jobs=1)
    )
    return Animal(model.fit(frame, (signal > signal.median()).astype(int)), frame, (0, 1))


def _xgboost(random: np.random.Generator, share: float) -> Animal:
    """XGBoost on numbers and text categories: scores in float32."""
    frame = _numbers(random, 20, gaps=0.1)
    for place in range(4):
        codes = random.integers(-1, 6, _ROWS)
        names = pd.Index([f"grade {letter}" for letter in "ABCDEF"])
        frame[f"grade {place}"] = pd.Categorical.from_codes(codes.tolist(), names)
    signal = _signal(random, frame)
    model = xgboost.XGBClassifier(
        n_estimators=round(150 * share), max_depth=6, n_jobs=1, enable_categorical=True
    )
    return Animal(model.fit(frame, (signal > signal.median()).astype(int)), frame, (0, 1))


def _catboost(random: np.random.Generator, share: float) -> Animal:
    """CatBoost on numbers and on texts, which may be any."""
    frame = _numbers(random, 10)
    for place in range(6):
        words = np.array(_WORDS)[random.integers(0, len(_WORDS), _ROWS)]
        frame[f"status {place}"] = pd.array(words, dtype="str")
    signal = _signal(random, frame) + frame["status 0"].str.len() / 10
    model = catboost.CatBoostClassifier(
        iterations=round(200 * share), verbose=0, thread_count=1, allow_writing_files=False
    )
    texts = [f"status {place}" for place in range(6)]
    target = (signal > signal.median()).astype(int)
    return Animal(model.fit(frame, target, cat_features=texts), frame, (0, 1))


ZOO: dict[str, Callable[[np.random.Generator, float], Animal]] = {
    "words": _words,
    "wide": _wide,
    "small": _small,
    "deep": _deep,
    "classes": _classes,
    "optional": _optional,
    "flags": _flags,
    "presence": _presence,
    "texts": _texts,
    "xgboost": _xgboost,
    "catboost": _catboost,
}


def train(name: str, share: float = 1.0) -> Animal:
    """Train one model. `share` of its trees: tests need the kind, not the size."""
    return ZOO[name](np.random.default_rng((_SEED, list(ZOO).index(name))), share)


def log(animal: Animal, folder: Path) -> Path:
    """Save a model with MLflow into `folder`, with its reference and golden rows."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scores = animal.score()
    names = [f"{_SCORE}{label}" for label in animal.classes or ()] if scores.ndim == 2 else [_SCORE]
    scored = animal.frame.copy()
    scored[names] = scores.reshape(len(scored), -1)
    evidence = [folder.with_name(f"{kind}.parquet") for kind in ("reference", "golden")]
    scored.to_parquet(evidence[0], index=False)
    scored.head(_GOLDEN_ROWS).to_parquet(evidence[1], index=False)
    root = type(animal.model).__module__.partition(".")[0]
    flavor = getattr(mlflow, root if root in ("lightgbm", "xgboost", "catboost") else "sklearn")
    flavor.save_model(
        animal.model,
        str(folder),
        signature=infer_signature(animal.frame, scores),
        extra_files=[str(path) for path in evidence],
        # Given, so that MLflow need not run the model to find them out.
        pip_requirements=["lightgbm", "scikit-learn", "xgboost-cpu", "catboost"],
        # Files of our own making, read back at once.
        **({"serialization_format": "cloudpickle"} if flavor is mlflow.sklearn else {}),
    )
    for path in evidence:
        path.unlink()
    return folder


def write_rows(animal: Animal, path: Path, count: int = _SENT_ROWS) -> None:
    """Write rows as JSON lines, as `export_rows.py` does: values of training, drawn anew."""
    random = np.random.default_rng(_SEED)
    # Each column by itself, so that hardly a row is one of training's.
    places = {name: random.integers(0, len(animal.frame), count) for name in animal.frame}
    frame = pd.DataFrame(
        {name: animal.frame[name].array.take(places[name]) for name in animal.frame}
    )
    scores = animal.score(frame).reshape(count, -1)[:, -1].tolist()
    columns = {str(name): frame[name].astype(object).tolist() for name in frame}
    with path.open("w") as file:
        for place, score in enumerate(scores):
            row = {name: values[place] for name, values in columns.items()}
            # NaN alone is not itself.
            sent = {name: value if value == value else None for name, value in row.items()}  # noqa: PLR0124
            file.write(json.dumps({"row": sent, "score": score}) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, log and import models of the zoo; exit 1 where an import fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ZOO)}; all by default")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(ZOO)
    if unknown:
        parser.error(f"the zoo has no {', '.join(sorted(unknown))}")
    failed = False
    for name in options.names or ZOO:
        folder = options.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        animal = train(name)
        log(animal, folder)
        write_rows(animal, folder.with_suffix(".jsonl"))
        # Some of the zoo are pickles, of our own making.
        command = [Path(sys.executable).with_name("tabserve"), "import", folder, "--trust-code"]
        done = subprocess.run(  # noqa: S603  # our own program, a folder of our own making
            [*command, "--name", f"zoo-{name}"], check=False
        )
        failed = failed or done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
