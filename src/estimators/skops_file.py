"""Files of fitted estimators: skops, which makes only objects of trusted types, and no pickle.

What differs from time to time in such a file, addresses of objects and dates, is replaced: equal forests, linear models and
projections give equal bytes.
"""

import io
import json
import zipfile
from collections.abc import Callable
from copy import copy
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import sklearn.utils
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from src.errors import InputError

SCHEMA = "schema.json"
# What fitted estimators hold, besides other estimators of scikit-learn. It computes, and does nothing else.
TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *(f"sklearn.metrics._dist_metrics.{name}Distance64" for name in ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")),
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
DATE = (1980, 1, 1, 0, 0, 0)


def dump(estimator: BaseEstimator) -> bytes:
    """The file of a fitted estimator."""
    source, target = zipfile.ZipFile(io.BytesIO(_skops().dumps(_compact(estimator)))), io.BytesIO()
    numbers: dict[object, int] = {}
    files: dict[str, str] = {}

    def number(key: object) -> int:
        return numbers.setdefault(key, len(numbers))

    schema = _renamed(json.loads(source.read(SCHEMA)), number, files)
    with zipfile.ZipFile(target, "w") as archive:
        for old, new in [*files.items(), (SCHEMA, SCHEMA)]:
            content = json.dumps(schema).encode() if new == SCHEMA else _without_padding(source.read(old))
            archive.writestr(zipfile.ZipInfo(new, DATE), content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return target.getvalue()


def load(path: Path, kind: type[BaseEstimator]) -> BaseEstimator:
    """The estimator in a file.

    Args:
        kind: its class, which is trusted too.

    Raises:
        InputError: it is no such file, or holds other types.
    """
    if not holds(path):
        raise InputError(f"{path}: expected an estimator in a file of skops; this is none. Train it again (force=true).")
    trusted = [*TRUSTED, _name(kind), *_estimators()]
    if foreign := sorted({*_skops().get_untrusted_types(file=path)} - {*trusted}):
        raise InputError(
            f"{path}: expected types of scikit-learn; received {', '.join(foreign)}, which could run code. Train it again, "
            "or add a type that only computes to TRUSTED in src/estimators/skops_file.py."
        )
    estimator = _skops().load(path, trusted=trusted)
    if type(estimator) is not kind:
        raise InputError(
            f"{path}: expected a {kind.__name__}, as config.yaml beside it names; received a {type(estimator).__name__}."
        )
    return estimator


def types(content: bytes) -> list[str]:
    """The types in a file that skops does not trust by itself."""
    return _skops().get_untrusted_types(data=content)


def holds(path: Path) -> bool:
    """Whether a file holds an estimator; a network's checkpoint is an archive too."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return SCHEMA in archive.namelist()


@cache
def _skops() -> ModuleType:
    """skops, without its walk through all of scikit-learn, which takes seconds and imports torch."""
    walk = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = list
    try:
        return import_module("skops.io")
    finally:
        sklearn.utils.all_estimators = walk


def _estimators() -> list[str]:
    """The estimators of scikit-learn that are imported: the class of a file has imported what it consists of."""
    kinds, names = [BaseEstimator], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("sklearn."):
            names.add(_name(kind))
    return sorted(names)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _compact(estimator: BaseEstimator) -> BaseEstimator:
    """The estimator with its vocabulary as one array: skops takes as long for a word of a dictionary as for a whole array."""
    if isinstance(estimator, Pipeline):
        compact = copy(estimator)
        compact.steps = [(name, _compact(step)) for name, step in estimator.steps]
        return compact
    words = getattr(estimator, "vocabulary_", None)
    if not words:
        return estimator
    compact = copy(estimator)
    compact.vocabulary = np.array(sorted(words, key=words.get))  # what its transform makes the dictionary of
    del compact.vocabulary_
    return compact


def _without_padding(content: bytes) -> bytes:
    """An array without what happens to lie between the fields of its records, as in the nodes of a tree."""
    if not content.startswith(b"\x93NUMPY"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    plain, buffer = np.zeros(array.shape, array.dtype), io.BytesIO()  # zeros_like leaves the padding as it finds it
    for name in array.dtype.names:
        plain[name] = array[name]
    np.save(buffer, plain)
    return buffer.getvalue()


def _renamed(node: Any, number: Callable[[object], int], files: dict[str, str]) -> Any:
    """A part of the schema with numbers in the sequence of their appearance, in place of addresses."""
    if isinstance(node, list):
        return [_renamed(inner, number, files) for inner in node]
    if not isinstance(node, dict):
        return node
    new = {key: _renamed(inner, number, files) for key, inner in node.items() if key not in ("__id__", "file")}
    if "file" in node and "__loader__" in node:
        name = str(node["file"])
        new["file"] = files.setdefault(name, f"{len(files)}.{name.rpartition('.')[2]}")
    elif "file" in node:  # a key of a dictionary
        new["file"] = _renamed(node["file"], number, files)
    if "__id__" in node:  # Python may keep equal numbers and texts as one object, or as several
        new["__id__"] = number(object() if node.get("__loader__") == "JsonNode" else node["__id__"])
    return new
