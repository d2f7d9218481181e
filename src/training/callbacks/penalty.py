"""The sum of the absolute weights as a penalty (Tibshirani 1996). For the sum of their squares there is weight_decay."""

from lightning.pytorch import LightningModule, Trainer
from torch.optim import Optimizer

from src.training.callbacks.base import TrainingCallback


class L1(TrainingCallback):
    """Adds the penalty's gradient to that of the loss before each step. The logged losses do not contain it.

    The penalty is of weights alone, neither of biases nor of the scales of normalisation. Gradients are clipped before it is
    added.

    Args:
        weight: of the penalty beside the loss.
    """

    in_optimizer_step = True

    def __init__(self, *, weight: float):
        if weight < 0:
            raise ValueError(f"L1: expected a weight of at least 0; received {weight}.")
        self.weight = weight

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        for parameter in pl_module.parameters():
            if parameter.ndim > 1 and parameter.grad is not None:
                parameter.grad.add_(parameter.detach().sign(), alpha=self.weight)
