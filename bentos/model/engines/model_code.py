"""What of a model's own would run when MLflow loads it, found without loading anything.

A pickle, a folder of code, a loader of the model's own, and every class that MLmodel names can
run whatever their author wanted. Trees in LightGBM's, XGBoost's and CatBoost's own formats
cannot, and neither can scikit-learn objects of known libraries in skops' format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from bentos.errors import IntakeError

MANIFEST = "MLmodel"
# The flavors that `flavors.load` reads with MLflow's own loader of that flavor, in its order.
DIRECT = ("lightgbm", "xgboost", "catboost", "sklearn")
# Members of MLmodel that name a file or a folder of the model.
_PATHS = {"code", "data", "model_binary", "pickled_model", "python_model", "model_code_path"}
_PATHS |= {"path", "artifact_path", "pandas_path", "env", "conda", "virtualenv"}
# A class of these is made without running anything that a model brought.
_LIBRARIES = ("lightgbm", "xgboost", "catboost", "sklearn")
_PLAIN_TYPES = {"collections.OrderedDict", "collections.defaultdict", "numpy.dtype"}
# A manifest is a few kilobytes; a signature of ten thousand columns is a megabyte.
_MOST_BYTES = 64 * 2**20


def read_manifest(model_dir: Path) -> Mapping[str, Any]:
    """Read the file MLmodel. Raises IntakeError where it is not one, or leaves its folder."""
    path = model_dir / MANIFEST
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise IntakeError(f"the file {MANIFEST} is larger than {_MOST_BYTES // 2**20} MiB")
        document = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise IntakeError(f"the file {MANIFEST} cannot be read: {_explain(error)}") from None
    document = document if isinstance(document, dict) else {}
    flavors = document.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise IntakeError(f"the file {MANIFEST} cannot be read: it names no flavors")
    for name, conf in flavors.items():
        if not isinstance(name, str) or not isinstance(conf, dict):
            raise IntakeError(f"the file {MANIFEST} cannot be read: a flavor has no members")
    for part in ("flavors", "saved_input_example_info"):
        for place, text in _paths(document.get(part), f"{MANIFEST}: {part}"):
            _require_inside(place, text)
    return document


def find(model_dir: Path) -> list[str]:
    """Name what of a model's own runs when it is loaded, for people; nothing for a safe one.

    Raises IntakeError for a manifest that cannot be read.
    """
    flavors = read_manifest(model_dir)["flavors"]
    for flavor in DIRECT:
        if flavor in flavors:
            return [
                f"{what} (flavor {flavor})"
                for what in _of_flavor(model_dir, flavor, flavors[flavor])
            ]
    return list(_of_pyfunc(model_dir, flavors.get("python_function", {})))


def _of_flavor(model_dir: Path, flavor: str, conf: Mapping[str, Any]) -> Iterator[str]:
    yield from _code_folder(model_dir, conf)
    kind = conf.get("model_class") or conf.get("model_type")
    if flavor == "sklearn":
        yield from _serialized(model_dir, conf, "pickled_model", "pickle")
    elif flavor == "lightgbm" and kind not in (None, "lightgbm.basic.Booster"):
        yield from _serialized(model_dir, conf, "data", "cloudpickle")
    elif flavor == "xgboost" and kind is not None and not _is_of(str(kind), ("xgboost",)):
        # MLflow imports the module and calls the class.
        yield "a class of the model's own in model_class"


def _serialized(
    model_dir: Path, conf: Mapping[str, Any], member: str, default: str
) -> Iterator[str]:
    """What a scikit-learn object's file runs. `default`: the format where none is named."""
    name = conf.get(member)
    if conf.get("serialization_format", default) != "skops":
        yield f"{name}, a pickle"
        return
    import skops.io  # noqa: PLC0415 - only what reads such a file has it

    try:
        types = skops.io.get_untrusted_types(file=model_dir / str(name))
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise IntakeError(f"{name} cannot be read: {_explain(error)}") from None
    # MLflow trusts each type that the model's own MLmodel says to trust.
    foreign = [one for one in types if one not in _PLAIN_TYPES and not _is_of(one, _LIBRARIES)]
    if foreign:
        yield f"{name} with {', '.join(sorted(foreign)[:3])}{', ...' if len(foreign) > 3 else ''}"


def _of_pyfunc(model_dir: Path, conf: Mapping[str, Any]) -> Iterator[str]:
    yield from _code_folder(model_dir, conf)
    if conf.get("model_code_path"):
        yield f"{conf['model_code_path']}, the model's own code"
    if conf.get("python_model"):
        yield f"{conf['python_model']}, a pickle"
    if not conf.get("python_model") and not conf.get("model_code_path"):
        # Most of MLflow's other loaders unpickle, and some run what a framework stored.
        yield f"the loader {conf.get('loader_module')}"


def _code_folder(model_dir: Path, conf: Mapping[str, Any]) -> Iterator[str]:
    code = conf.get("code")
    if code:
        count = sum(1 for path in (model_dir / str(code)).rglob("*.py"))
        yield f"{str(code).rstrip('/')}/ with {count} Python files"


def _is_of(name: str, libraries: tuple[str, ...]) -> bool:
    return name.partition(".")[0] in libraries


def _paths(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every member that names a file, with where it stands, at any depth."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in _PATHS and isinstance(member, str):
                yield f"{place}/{name}", member
            else:
                yield from _paths(member, f"{place}/{name}")


def _require_inside(place: str, text: str) -> None:
    path = PurePosixPath(text.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise IntakeError(f"{place} names a file outside of the model's folder")


def require_plain_files(model_dir: Path) -> None:
    """Refuse links, pipes and devices in a model's folder: a copy would take what they lead to.

    Raises IntakeError.
    """
    for path in sorted(model_dir.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            name = path.relative_to(model_dir).as_posix()
            kind = "a link" if path.is_symlink() else "neither a file nor a folder"
            raise IntakeError(f"{name} in the model's folder is {kind}: put the file itself there")


def _explain(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"no YAML in line {error.problem_mark.line + 1}"
    return f"it is damaged ({type(error).__name__})"


# The same constructors, several times as fast where libyaml is there.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
