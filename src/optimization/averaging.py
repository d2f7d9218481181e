"""Averaged weights: a second set beside the trained one. A run is validated with it, and its best checkpoint holds it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch


class Averaging(ABC):
    """How weights are averaged over the steps.

    Attributes:
        batches: of the training split, which estimate the statistics of batch normalisation anew before each validation. With 0
            the statistics are those of the trained network.
    """

    batches = 0

    @abstractmethod
    def start(self, total_steps: int) -> int:
        """The step after which averaging begins, in a training of so many steps."""

    @abstractmethod
    def update(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        """Adds the current weights to the averaged ones, in place.

        Args:
            count: updates before this one.
        """


class EMA(Averaging):
    """An exponential moving average over the steps (Polyak and Juditsky 1992).

    The statistics of batch normalisation are those of the trained network: they are moving averages already, and need no pass
    over the data.

    Args:
        decay: the share of the average that a step keeps.
        warm_up: after n steps the decay is at most (1 + n) / (warm_up + n), so that the first weights are soon forgotten; 1 for
            no warm-up.
    """

    def __init__(self, *, decay: float, warm_up: float = 10.0):
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected 0 up to, but not including, 1; received {decay}.")
        if warm_up < 1:
            raise ValueError(f"warm_up: expected 1 or more; received {warm_up}.")
        self._decay = decay
        self._warm_up = warm_up

    def start(self, total_steps: int) -> int:
        return 0

    def update(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        decay = min(self._decay, (1 + count) / (self._warm_up + count))
        get_ema_multi_avg_fn(decay)(list(averaged), list(current), count)


class SWA(Averaging):
    """The plain mean of the weights after each of the last steps (Izmailov et al. 2018, arXiv:1803.05407).

    Before it begins, the trained weights are validated.

    Args:
        start: the share of the training after which it begins.
        batches: training batches that estimate the statistics of batch normalisation for the mean, before each validation. They
            are not augmented.
    """

    def __init__(self, *, start: float, batches: int = 100):
        if not 0 <= start < 1:
            raise ValueError(f"start: expected a share from 0 up to, but not including, 1; received {start}.")
        if batches < 1:
            raise ValueError(f"batches: expected 1 or more; received {batches}.")
        self._start = start
        self.batches = batches

    def start(self, total_steps: int) -> int:
        return int(self._start * total_steps)

    def update(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        get_swa_multi_avg_fn()(list(averaged), list(current), count)


class AveragedWeights:
    """The averaged weights of a model in training.

    The two sets are swapped by copying their contents. An optimizer or a compiled graph that holds a parameter still holds
    the right one.

    Args:
        state: of a checkpoint; None to begin with the model's own weights.
    """

    def __init__(self, averaging: Averaging, model: nn.Module, *, total_steps: int, state: Mapping[str, Any] | None = None):
        self._averaging = averaging
        self._model = model
        self._start = averaging.start(total_steps)
        self._names = [name for name, _ in model.named_parameters()]
        self._current = [*model.parameters()]
        self._averaged = [parameter.detach().clone() for parameter in self._current]
        self._count = 0
        self._buffers: list[Tensor] | None = None
        self._in_model = False  # whether the model holds the averaged weights
        if state is not None and state["start"] == self._start:  # else the training is longer, and averages later steps
            self._count = state["count"]
        if state is not None:
            for name, tensor in zip(self._names, self._averaged, strict=True):
                tensor.copy_(_sharded(state["weights"][name], like=tensor))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Averages the weights of an optimizer step, which is counted from 1."""
        if step <= self._start:
            return
        self._averaging.update(self._averaged, self._current, self._count)
        self._count += 1

    def swap_in(self, batches: Callable[[int], Iterable[Batch]], forward: Callable[[Batch], object]) -> None:
        """Puts the averaged weights into the model, until `swap_out`. It has no effect before averaging begins.

        Args:
            batches: gives so many training batches.
            forward: a forward pass of the model.
        """
        if not self._count:
            return
        self._swap()
        self._in_model = True
        if self._averaging.batches:
            self._buffers = [buffer.clone() for buffer in self._model.buffers()]
            random = random_state()  # the training continues with the random numbers that it would have had
            self._update_batch_norms(map(forward, batches(self._averaging.batches)))
            set_random_state(random)

    def swap_out(self) -> None:
        """Puts the trained weights back."""
        if not self._in_model:
            return
        self._swap()
        self._in_model = False
        if self._buffers is not None:
            for buffer, before in zip(self._model.buffers(), self._buffers, strict=True):
                buffer.copy_(before)
            self._buffers = None

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint holds; None while the model itself holds the averaged weights.

        All processes must call it: sharded weights are gathered.
        """
        if self._in_model:
            return None
        weights = {name: _full(tensor) for name, tensor in zip(self._names, self._averaged, strict=True)}
        return {"start": self._start, "count": self._count, "weights": weights}

    @torch.no_grad()
    def _update_batch_norms(self, forward_passes: Iterable[object]) -> None:
        """Sets the statistics of batch normalisation to their means over forward passes. Frozen layers keep their own.

        Torch's update_bn would reset frozen layers too.
        """
        layers = [module for module in self._model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
        frozen = [module for module in layers if module.affine and not module.weight.requires_grad]
        momenta = {module: module.momentum for module in layers if module not in frozen}
        if not momenta:
            return
        self._model.train()
        for module in frozen:
            module.eval()
        for module in momenta:
            module.reset_running_stats()
            module.momentum = None  # a plain mean
        for _ in forward_passes:
            pass
        for module, momentum in momenta.items():
            module.momentum = momentum
        self._model.eval()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, averaged in zip(self._current, self._averaged, strict=True):
            trained = parameter.clone()
            parameter.copy_(averaged)
            averaged.copy_(trained)


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _sharded(tensor: Tensor, *, like: Tensor) -> Tensor:
    """A full tensor, which every process has, sharded as another one is."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
