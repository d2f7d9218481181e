"""Random weights in place of the learned ones, to test whether an explanation depends on what was learned."""

from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from torch import nn


def randomised(network: nn.Module, *, seed: int) -> nn.Module:
    """A copy with fresh weights in all layers (Adebayo et al. 2018, arXiv:1810.03292).

    A layer initializes its weights by its own method. Parameters of a module without one become normal numbers of the same mean
    and standard deviation. The random state of the process stays as it is.
    """
    network = deepcopy(network)
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if reset is not None:
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                mean, spread = parameter.mean(), parameter.std(correction=0)
                parameter.normal_().mul_(spread).add_(mean)
    return network


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> float:
    """Spearman's correlation between the absolute values of each map and of its counterpart, as the mean over the maps.

    A constant map has no ranks and is left out. NaN where none is left. Shapes: (maps, ...) both.
    """
    ranks = [pd.DataFrame(np.abs(array).reshape(len(array), -1)).rank(axis=1).to_numpy() for array in (maps, others)]
    one, other = (array - array.mean(axis=1, keepdims=True) for array in ranks)
    norms = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    ranked = norms > 0
    return float(((one * other).sum(axis=1)[ranked] / norms[ranked]).mean()) if ranked.any() else float("nan")
