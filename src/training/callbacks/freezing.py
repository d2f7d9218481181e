"""Parts of a network that are not trained, in the whole training or in its first epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from src.errors import InputError
from src.optimization.parts import inside, within
from src.tasks.base import Task
from src.training.callbacks.base import TrainingCallback


class Freezing(TrainingCallback):
    """Freezes parts of the network: their weights get no gradients, and their batch normalisation keeps its statistics.

    The optimizer has their weights from the start, and leaves out weights without gradients. The epoch alone decides what is
    frozen.

    Args:
        parts: by the beginnings of their weights' names.
        until: the number of epochs; None for all of them. By part, as {features.4: 2, features: 4}, they thaw one after the
            other (Howard and Ruder 2018, arXiv:1801.06146). The innermost part counts; a part that is not named stays frozen.
    """

    in_optimizer_step = True

    def __init__(self, *, parts: Sequence[str], until: int | Mapping[str, int] | None = None):
        if not parts:
            raise ValueError("parts: expected the beginnings of weights' names, as [features]; received none.")
        ends: Mapping[str, Any] = until if isinstance(until, Mapping) else dict.fromkeys(parts, until)
        for part, end in ends.items():
            if not any(inside(part, whole) for whole in parts):
                raise ValueError(f"until: expected something in {list(parts)}; received {part}. Name it in parts too.")
            if not (type(end) is int and end >= 1) and (end is not None or isinstance(until, Mapping)):
                rest = "" if isinstance(until, Mapping) else ", or null for all of them"
                raise ValueError(f"until: expected a number of epochs from 1{rest}; received {end}.")
        self._parts, self._until = list(parts), until
        self._ends = {**dict.fromkeys(parts), **ends}
        self._weights: dict[str, nn.Parameter] = {}

    def check(self, task: Task, *, processes: int) -> None:
        names = [name for name, _ in task.model.named_parameters()]
        if len(within(self._parts, names, key="callbacks.freeze.parts")) == len(names):
            raise InputError(
                f"callbacks.freeze.parts={self._parts}: expected weights that are left to train; these are all {len(names)} "
                "weights. Leave the head out."
            )
        within(self._ends, names, key="callbacks.freeze.until")
        if any(self._ends.values()) and processes > 1:
            raise InputError(
                f"callbacks.freeze.until={self._until}: expected null in a training of {processes} processes, which choose the "
                "gradients that they share at its beginning. Train the head first (until=null), then the whole network from "
                "that run's weights (pretrained.weights=...)."
            )

    def frozen_batch_norms(self, network: nn.Module) -> list[str]:
        """Names of the batch normalisations that keep their statistics in the whole training."""
        modules = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
        return [name for name in modules if self._part(name) and self._ends[self._part(name) or ""] is None]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freezes before the first epoch: DDP looks at which weights are trained when it is made."""
        named = pl_module.model.named_parameters()  # type: ignore[union-attr]
        self._weights = {name: weight for name, weight in named if weight.requires_grad and self._part(name)}
        self._freeze(0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that continues within an epoch has no start of that epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._freeze(trainer.current_epoch)
        for name, module in pl_module.model.named_modules():  # type: ignore[union-attr]
            if isinstance(module, _BatchNorm) and self._part(name):
                module.train(not self._is_frozen(name, trainer.current_epoch))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._unfreeze()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._unfreeze()  # the next fit from a checkpoint begins with nothing frozen

    def _part(self, name: str) -> str | None:
        """The innermost part that a name lies in; None for none."""
        return max((part for part in self._ends if inside(name, part)), key=len, default=None)

    def _is_frozen(self, name: str, epoch: int) -> bool:
        end = self._ends[self._part(name) or ""]
        return end is None or epoch < end

    def _freeze(self, epoch: int) -> None:
        for name, weight in self._weights.items():
            weight.requires_grad_(not self._is_frozen(name, epoch))

    def _unfreeze(self) -> None:
        for weight in self._weights.values():
            weight.requires_grad_(True)
