"""The sum of the absolute weights as a part of what is minimised (Tibshirani 1996); that of their squares is weight_decay."""

from lightning.pytorch import LightningModule, Trainer
from torch.optim import Optimizer

from src.training.callbacks.base import TrainingCallback


class L1(TrainingCallback):
    """Adds the penalty's gradient to that of the loss before each step; the losses that are logged are without it.

    Weights alone count, neither biases nor the scales of normalisation. Gradients are clipped before, without it.

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
