"""Parts of a network that are not trained: in the whole training, or in its first epochs."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from src import parts
from src.errors import InputError


class Freezing(Callback):
    """Keeps parts of the network as they are: no gradients for their weights, and no new statistics in batch normalisation.

    The optimizer knows their weights from the start, and leaves out what has no gradient. What is frozen follows from
    the epoch alone.

    Args:
        parts: by how the names of their weights begin.
        until: for so many epochs; None for all of them.
    """

    def __init__(self, *, parts: Sequence[str], until: int | None = None):
        if not parts:
            raise ValueError("parts: expected the beginnings of weights' names, as [features]; received none.")
        if until is not None and (type(until) is not int or until < 1):
            raise ValueError(f"until: expected a number of epochs from 1, or null for all of them; received {until}.")
        self._parts = list(parts)
        self._until = until
        self._frozen: list[nn.Parameter] = []

    def check(self, task: Any, *, processes: int) -> None:
        """Refuses parts that the network lacks, and those that are all of it."""
        names = [name for name, _ in task.model.named_parameters()]
        if len(parts.within(self._parts, names, key="callbacks.freeze.parts")) == len(names):
            raise InputError(
                f"callbacks.freeze.parts={self._parts}: expected something that is left to train; these are all {len(names)} "
                "weights. Leave the head out."
            )
        if self._until is not None and processes > 1:
            raise InputError(
                f"callbacks.freeze.until={self._until}: expected null in a training of {processes} processes, which agree at "
                "its beginning on the gradients that they share. Train the head first (until=null), then the whole from that "
                "run's weights (initial.weights=...)."
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freezes here already: what joins the processes looks at which weights are trained when it is made."""
        chosen = pl_module.model.named_parameters()  # type: ignore[union-attr]
        self._frozen = [weight for name, weight in chosen if weight.requires_grad and self._has(name)]
        self._hold(True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that goes on within an epoch has no beginning of it."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        frozen = self._until is None or trainer.current_epoch < self._until
        self._hold(frozen)
        for name, module in pl_module.model.named_modules():  # type: ignore[union-attr]
            if isinstance(module, _BatchNorm) and self._has(name):
                module.train(not frozen)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._hold(False)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._hold(False)  # the next fit from a checkpoint begins with a network that nothing is frozen of

    def _has(self, name: str) -> bool:
        return any(parts.inside(name, part) for part in self._parts)

    def _hold(self, frozen: bool) -> None:
        for weight in self._frozen:
            weight.requires_grad_(not frozen)
