"""How a network is optimized: the settings that a task hands to its optimizer steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src.errors import check_counts
from src.optimization.averaging import Averaging
from src.optimization.divergence import DivergencePolicy, Stop
from src.protocols import Objective


@dataclass(frozen=True)
class Optimization:
    """The optimization of one training.

    Args:
        optimizer: makes the optimizer from groups of parameters.
        objective: chooses the best checkpoint; a scheduler may wait for its metric.
        scheduler: makes the learning-rate schedule from the optimizer. One with an argument `total_steps` is stepped after each
            optimizer step, any other one after each epoch. None for a constant rate.
        rates: factors of the learning rate for parts of the network, by the beginnings of their weights' names.
        averaging: how weights are averaged over the steps. The averaged weights are validated, and kept as the best. None for
            no averaging.
        divergence: what happens when a loss is not a number.
        gradient_clip_val: the largest norm of all gradients together; None for no limit.
        accumulate_grad_batches: batches of one optimizer step.
        auto_micro_batch: whether a batch is split where memory is short.
        log_every_n_steps: how often the mean of the training losses since the last time is logged.
        total_steps: optimizer steps of the whole training.
    """

    optimizer: Callable[..., Optimizer]
    objective: Objective
    scheduler: Callable[..., LRScheduler] | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    averaging: Averaging | None = None
    divergence: DivergencePolicy = field(default_factory=Stop)
    gradient_clip_val: float | None = None
    accumulate_grad_batches: int = 1
    auto_micro_batch: bool = False
    log_every_n_steps: int = 20
    total_steps: int = 0

    def __post_init__(self) -> None:
        if self.gradient_clip_val is not None and self.gradient_clip_val <= 0:
            raise ValueError(f"trainer.gradient_clip_val: expected null or more than 0; received {self.gradient_clip_val}.")
        check_counts(accumulate_grad_batches=self.accumulate_grad_batches, log_every_n_steps=self.log_every_n_steps)
