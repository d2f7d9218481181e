"""Averaged weights: a second set beside the trained one, by which a run is validated, kept as the best, and asked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch


class Average(Protocol):
    """How weights are averaged."""

    batches: int
    """of training examples, by which the statistics of batch normalisation are estimated anew; 0: they are the trained net's"""

    def begin(self, total_steps: int) -> int:
        """The step after which averaging begins, in a training of so many."""
        ...

    def take(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        """Takes the current weights into the averaged ones, which `count` others went into before."""
        ...


class EMA:
    """An exponential moving average over the steps (Polyak and Juditsky 1992).

    The statistics of batch normalisation are those of the trained network: they are moving averages already, over fewer
    steps, and need no pass over the data.

    Args:
        decay: what remains of the average at each step.
        warm_up: the decay of the step after n others is (1 + n) / (warm_up + n) where that is less, so that the first
            weights do not weigh for long; 1 for none.
    """

    batches = 0

    def __init__(self, *, decay: float, warm_up: float = 10.0):
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected 0 up to, but not including, 1; received {decay}.")
        if warm_up < 1:
            raise ValueError(f"warm_up: expected 1 or more; received {warm_up}.")
        self._decay = decay
        self._warm_up = warm_up

    def begin(self, total_steps: int) -> int:
        return 0

    def take(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        decay = min(self._decay, (1 + count) / (self._warm_up + count))
        get_ema_multi_avg_fn(decay)(list(averaged), list(current), count)


class SWA:
    """The plain mean of the weights after each of the last steps (Izmailov et al. 2018, arXiv:1803.05407).

    Before it begins, a run is validated by its trained weights.

    Args:
        start: the share of the training after which it begins.
        batches: training batches that estimate the statistics of batch normalisation for the mean, before each validation;
            they are looked at as in validation.
    """

    def __init__(self, *, start: float, batches: int = 100):
        if not 0 <= start < 1:
            raise ValueError(f"start: expected a share from 0 up to, but not including, 1; received {start}.")
        if batches < 1:
            raise ValueError(f"batches: expected 1 or more; received {batches}.")
        self._start = start
        self.batches = batches

    def begin(self, total_steps: int) -> int:
        return int(self._start * total_steps)

    def take(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        get_swa_multi_avg_fn()(list(averaged), list(current), count)


class Averaged:
    """The averaged weights of a model in training.

    Weights change places by copies of their content: whoever holds a parameter, an optimizer or a compiled graph, holds
    the right one afterwards too.

    Args:
        state: that `state` gave, None to begin with the model's own weights.
    """

    def __init__(self, average: Average, model: nn.Module, *, total_steps: int, state: Mapping[str, Any] | None = None):
        self._average = average
        self._model = model
        self._begin = average.begin(total_steps)
        self._names = [name for name, _ in model.named_parameters()]
        self._current = [*model.parameters()]
        self._averaged = [parameter.detach().clone() for parameter in self._current]
        self._count = 0
        self._buffers: list[Tensor] | None = None
        self._shown = False
        if state is not None and state["begin"] == self._begin:  # else a longer training has a later last part
            self._count = state["count"]
        if state is not None:
            for name, tensor in zip(self._names, self._averaged, strict=True):
                tensor.copy_(_shared(state["weights"][name], like=tensor))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After an optimizer step, the number of which is given."""
        if step <= self._begin:
            return
        self._average.take(self._averaged, self._current, self._count)
        self._count += 1

    def show(self, examples: Callable[[int], Iterable[Batch]], pass_through: Callable[[Batch], object]) -> None:
        """Puts the averaged weights into the model, until `hide`. Without effect before averaging begins.

        Args:
            examples: gives so many training batches.
            pass_through: a forward pass of the model.
        """
        if not self._count:
            return
        self._swap()
        self._shown = True
        if self._average.batches:
            self._buffers = [buffer.clone() for buffer in self._model.buffers()]
            random = random_state()  # the training goes on with the numbers that it would have had
            self._estimate(map(pass_through, examples(self._average.batches)))
            set_random_state(random)

    def hide(self) -> None:
        """Puts the trained weights back."""
        if not self._shown:
            return
        self._swap()
        self._shown = False
        if self._buffers is not None:
            for buffer, kept in zip(self._model.buffers(), self._buffers, strict=True):
                buffer.copy_(kept)
            self._buffers = None

    def state(self) -> dict[str, Any] | None:
        """What a training goes on from; None while the model holds the averaged weights itself.

        Every process asks for it: weights that are shared out are gathered.
        """
        if self._shown:
            return None
        weights = {name: _whole(tensor) for name, tensor in zip(self._names, self._averaged, strict=True)}
        return {"begin": self._begin, "count": self._count, "weights": weights}

    @torch.no_grad()
    def _estimate(self, passes: Iterable[object]) -> None:
        """Statistics of batch normalisation for these weights, as means over forward passes; what is frozen keeps its own.

        Torch's update_bn would begin those of frozen layers anew too.
        """
        found = [module for module in self._model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
        frozen = [module for module in found if module.affine and not module.weight.requires_grad]
        momenta = {module: module.momentum for module in found if module not in frozen}
        if not momenta:
            return
        self._model.train()
        for module in frozen:
            module.eval()
        for module in momenta:
            module.reset_running_stats()
            module.momentum = None  # a plain mean
        for _ in passes:
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


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _shared(tensor: Tensor, *, like: Tensor) -> Tensor:
    """A whole tensor as another one is shared out among processes, each of which has the whole."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
