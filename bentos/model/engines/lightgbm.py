"""LightGBM's C API, as far as prediction needs it.

The library is the one of the installed `lightgbm` wheel, opened without importing the
Python package: that would bring in scipy, and pandas, scikit-learn and matplotlib where
they are installed, for a call that takes a pointer to doubles. Scores are those of
`lightgbm.Booster.predict`, to the last bit, because the same function computes them.

Names and constants: LightGBM's `include/LightGBM/c_api.h`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bentos.errors import TabserveError

_FLOAT64 = 1  # C_API_DTYPE_FLOAT64
_NORMAL = 0  # C_API_PREDICT_NORMAL: probabilities where the objective has them
_RAW = 1  # C_API_PREDICT_RAW_SCORE: before the objective's link
_CONTRIBUTIONS = 3  # C_API_PREDICT_CONTRIB: exact TreeSHAP
_ROW_MAJOR = 1
_ALL_ITERATIONS = -1


class LightGBMError(TabserveError):
    """The library cannot be opened, or refused; then the message is its own."""


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("lightgbm")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for path in sorted(Path(folder).glob("**/lib_lightgbm.*")):
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                raise LightGBMError(
                    "LightGBM's library cannot be opened: it needs the OpenMP runtime "
                    "(apt-get install libgomp1)"
                ) from None
            library.LGBM_GetLastError.restype = ctypes.c_char_p
            library.LGBM_BoosterPredictForMat.argtypes = [
                ctypes.c_void_p,  # handle
                ctypes.c_void_p,  # data
                ctypes.c_int,  # data_type
                ctypes.c_int32,  # nrow
                ctypes.c_int32,  # ncol
                ctypes.c_int,  # is_row_major
                ctypes.c_int,  # predict_type
                ctypes.c_int,  # start_iteration
                ctypes.c_int,  # num_iteration
                ctypes.c_char_p,  # parameter
                ctypes.c_void_p,  # out_len
                ctypes.c_void_p,  # out_result
            ]
            return library
    raise LightGBMError("the shared library of the lightgbm package was not found")


def _check(code: int) -> None:
    if code != 0:
        raise LightGBMError(_library().LGBM_GetLastError().decode(errors="replace"))


class NativeBooster:
    """A booster inside the library. Predictions may run in several threads at once."""

    def __init__(self, model_text: str, threads: int = 1) -> None:
        """Read a model as LightGBM writes it. Raises LightGBMError for anything else."""
        library = _library()
        handle, iterations = ctypes.c_void_p(), ctypes.c_int()
        _check(
            library.LGBM_BoosterLoadModelFromString(
                model_text.encode(), ctypes.byref(iterations), ctypes.byref(handle)
            )
        )
        weakref.finalize(self, library.LGBM_BoosterFree, handle)
        features, classes = ctypes.c_int(), ctypes.c_int()
        _check(library.LGBM_BoosterGetNumFeature(handle, ctypes.byref(features)))
        _check(library.LGBM_BoosterGetNumClasses(handle, ctypes.byref(classes)))
        self.features = features.value
        self.classes = classes.value
        self.iterations = iterations.value
        self._handle = handle
        self._predict = library.LGBM_BoosterPredictForMat
        self._parameter = f"num_threads={threads}".encode()

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score a float64 matrix of shape (rows, features).

        Gives float64 of shape (rows,), or (rows, classes) for more than one class.
        """
        shape = (len(matrix),) if self.classes == 1 else (len(matrix), self.classes)
        return self._run(matrix, _NORMAL, shape)

    def predict_raw(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The raw scores, which the objective's link turns into scores: (rows, classes)."""
        return self._run(matrix, _RAW, (len(matrix), self.classes))

    def explain(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each feature adds to the raw score: exact TreeSHAP (Lundberg et al. 2020).

        Gives float64 of shape (rows, classes, features + 1); the last column is the mean
        raw score of training. They add up to the raw score.
        """
        return self._run(matrix, _CONTRIBUTIONS, (len(matrix), self.classes, self.features + 1))

    def _run(
        self, matrix: NDArray[np.float64], kind: int, shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        rows, columns = matrix.shape
        if columns != self.features:
            raise ValueError(f"the booster has {self.features} features, the matrix {columns}")
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        scores = np.empty(shape, dtype=np.float64)
        written = ctypes.c_int64()
        _check(
            self._predict(
                self._handle,
                matrix.ctypes.data,
                _FLOAT64,
                rows,
                columns,
                _ROW_MAJOR,
                kind,
                0,
                _ALL_ITERATIONS,
                self._parameter,
                ctypes.addressof(written),
                scores.ctypes.data,
            )
        )
        return scores
