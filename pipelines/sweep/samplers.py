"""Optuna's samplers and pruners, as conf/sweep describes them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from pipelines.sweep.space import Space
from src.config.instantiation import make
from src.errors import InputError

FIXED_ORDER = ("Grid", "BruteForceSampler", "QMCSampler")  # their seed fixes the parameters of all trials


def sampler(node: Mapping[str, Any], space: Space, *, seed: int) -> BaseSampler:
    """The sampler that a node of the configuration describes.

    Args:
        seed: takes the place of the node's own, if its sampler chooses one trial at a time.

    Raises:
        InputError: wrong settings, a package that is missing, or a grid over a space that has none.
    """
    settings = dict(node)
    name = settings["_target_"].rpartition(".")[2]
    if "seed" in settings and name not in FIXED_ORDER:
        settings["seed"] = seed % 2**31
    if name == "CmaEsSampler" and find_spec("cmaes") is None:
        raise InputError("sweep/sampler=cmaes: expected the package cmaes, which is not installed: pip install cmaes")
    if name == "Grid":
        settings["search_space"] = space.grid()
    return make(settings, "sweep.sampler", BaseSampler)


def pruner(node: Mapping[str, Any]) -> BasePruner:
    """The pruner that a node of the configuration describes.

    Raises:
        InputError: wrong settings.
    """
    return make(node, "sweep.pruner", BasePruner)
