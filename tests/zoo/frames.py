"""Training frames with columns of each type that people have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROWS = 240

# Names of the sets of column types; `text` is for pipelines, which encode it themselves.
DTYPES = (
    "numbers",
    "small numbers",
    "nullable",
    "text categories",
    "other categories",
    "listed integers",
    "constants",
)


def make_frame(dtypes: str, seed: int, rows: int = ROWS) -> pd.DataFrame:
    """Make a frame of one set of column types, with missing values where the type has them."""
    random = np.random.default_rng(seed)
    missing = random.random(rows) < 0.1
    columns: dict[str, Any] = {"x": np.where(missing, np.nan, random.normal(size=rows))}
    if dtypes == "numbers":
        columns["whole"] = random.integers(-50, 50, rows)
        columns["large"] = random.integers(0, 2**40, rows)
        columns["flag"] = random.random(rows) < 0.5
    elif dtypes == "small numbers":
        columns["single"] = random.normal(size=rows).astype("float32")
        columns["byte"] = random.integers(-100, 100, rows).astype("int8")
        columns["short"] = random.integers(0, 60_000, rows).astype("uint16")
        columns["word"] = random.integers(-(2**31), 2**31, rows).astype("int32")
    elif dtypes == "nullable":
        columns["whole"] = pd.array(random.integers(0, 9, rows), dtype="Int64")
        columns["part"] = pd.array(random.normal(size=rows), dtype="Float64")
        columns["flag"] = pd.array(random.random(rows) < 0.5, dtype="boolean")
        frame = pd.DataFrame(columns)
        for name in ("whole", "part", "flag"):
            frame.loc[random.random(rows) < 0.2, name] = pd.NA
        return frame
    elif dtypes == "text categories":
        columns["colour"] = _category(random, rows, ["red", "green", "blü", "a b"], missing)
        columns["size"] = _category(random, rows, ["s", "m", "l"], None, ordered=True)
    elif dtypes == "other categories":
        columns["grade"] = _category(random, rows, [3, 5, 7], missing)
        columns["rank"] = _category(random, rows, [10, 20, 30, 40], None, ordered=True)
        columns["sure"] = _category(random, rows, [False, True], None)
        columns["step"] = _category(random, rows, [0.5, 1.0, 2.5], None)
        columns["area"] = random.integers(10, 40, rows)
    elif dtypes == "listed integers":
        columns["area"] = random.integers(1, 12, rows)
        columns["colour"] = _category(random, rows, ["red", "green"], missing)
        columns["rank"] = _category(random, rows, [1, 2, 3], None, ordered=True)
    elif dtypes == "constants":
        columns["only"] = pd.Categorical([7] * rows)
        columns["zero"] = np.zeros(rows)
        columns["grade"] = _category(random, rows, [1, 2, 4], None)
        columns["word"] = pd.Categorical(["one"] * rows)
    elif dtypes == "text":
        columns["colour"] = pd.Series(random.choice(["red", "green", "blue"], rows))
        columns["whole"] = random.integers(0, 9, rows)
        frame = pd.DataFrame(columns)
        frame.loc[missing, "colour"] = np.nan
        return frame
    return pd.DataFrame(columns)


def signal(frame: pd.DataFrame, seed: int) -> NDArray[np.float64]:
    """A number that every column has a part in, float64 of shape (rows,), all above zero."""
    random = np.random.default_rng(seed + 1)
    total = random.normal(0.0, 0.3, len(frame))
    for name in frame.columns:
        codes, _ = pd.factorize(frame[name])
        effects = random.normal(size=codes.max() + 2)
        total += effects[codes]
    return np.asarray(total - total.min() + 0.1, dtype=np.float64)


def _category(
    random: np.random.Generator,
    rows: int,
    values: list[Any],
    missing: NDArray[np.bool_] | None,
    *,
    ordered: bool = False,
) -> pd.Categorical:
    codes = random.integers(0, len(values), rows)
    if missing is not None:
        codes[missing] = -1
    return pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(values), ordered=ordered)
