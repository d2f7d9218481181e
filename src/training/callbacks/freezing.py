"""Parts of a network that are not trained: in the whole training, or in its first epochs."""

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
    """Keeps parts of the network as they are: no gradients for their weights, and no new statistics in batch normalisation.

    The optimizer knows their weights from the start, and leaves out what has no gradient. What is frozen follows from
    the epoch alone.

    Args:
        parts: by how the names of their weights begin.
        until: for so many epochs; None for all of them. By part, as {features.4: 2, features: 4}, they thaw one after the
            other (Howard and Ruder 2018, arXiv:1801.06146): the innermost counts, and what is not named stays frozen.
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
        self._frozen: dict[str, nn.Parameter] = {}

    def check(self, task: Task, *, processes: int) -> None:
        """Refuses parts that the network lacks, and those that are all of it."""
        names = [name for name, _ in task.model.named_parameters()]
        if len(within(self._parts, names, key="callbacks.freeze.parts")) == len(names):
            raise InputError(
                f"callbacks.freeze.parts={self._parts}: expected something that is left to train; these are all {len(names)} "
                "weights. Leave the head out."
            )
        within(self._ends, names, key="callbacks.freeze.until")
        if any(self._ends.values()) and processes > 1:
            raise InputError(
                f"callbacks.freeze.until={self._until}: expected null in a training of {processes} processes, which agree at "
                "its beginning on the gradients that they share. Train the head first (until=null), then the whole from that "
                "run's weights (pretrained.weights=...)."
            )

    def frozen_batch_norms(self, network: nn.Module) -> list[str]:
        """Names of the batch normalisations whose statistics never change."""
        modules = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
        return [name for name in modules if self._part(name) and self._ends[self._part(name) or ""] is None]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freezes here already: what joins the processes looks at which weights are trained when it is made."""
        chosen = pl_module.model.named_parameters()  # type: ignore[union-attr]
        self._frozen = {name: weight for name, weight in chosen if weight.requires_grad and self._part(name)}
        self._hold(0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that goes on within an epoch has no beginning of it."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._hold(trainer.current_epoch)
        for name, module in pl_module.model.named_modules():  # type: ignore[union-attr]
            if isinstance(module, _BatchNorm) and self._part(name):
                module.train(not self._holds(name, trainer.current_epoch))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._release()  # the next fit from a checkpoint begins with a network that nothing is frozen of

    def _part(self, name: str) -> str | None:
        """The part that a name lies in, of several the innermost."""
        return max((part for part in self._ends if inside(name, part)), key=len, default=None)

    def _holds(self, name: str, epoch: int) -> bool:
        end = self._ends[self._part(name) or ""]
        return end is None or epoch < end

    def _hold(self, epoch: int) -> None:
        for name, weight in self._frozen.items():
            weight.requires_grad_(not self._holds(name, epoch))

    def _release(self) -> None:
        for weight in self._frozen.values():
            weight.requires_grad_(True)
