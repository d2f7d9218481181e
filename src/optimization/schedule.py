"""The optimizer and the schedule of its learning rate: by the step where it asks for `total_steps`, else by the epoch."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from src.errors import InputError
from src.optimization import parts
from src.optimization.settings import Optimization
from src.protocols import Objective

# The keys of a scheduler's state that hold the training's length. A run that is trained further has a new length.
LENGTHS = ("total_steps", "T_max", "_schedule_phases")


class WarmUpCosine:
    """Makes a schedule: the rate rises linearly, and then falls by a cosine (Loshchilov and Hutter 2017).

    Args:
        share: of the steps in which the rate rises.
        end: the share of the rate to which it falls.
    """

    def __init__(self, *, share: float, end: float = 0.0):
        for name, value in (("share", share), ("end", end)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}: expected 0 up to, but not including, 1; received {value}.")
        self._share, self._end = share, end

    def __call__(self, optimizer: Optimizer, *, total_steps: int) -> LambdaLR:
        rising = int(self._share * total_steps)

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)
            left = (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total_steps - rising)))) / 2
            return self._end + (1 - self._end) * left

        return LambdaLR(optimizer, factor)


class ExponentialGrowth:
    """Makes a schedule: the rate grows by the same factor in each step.

    Args:
        times: the rate of the last step over that of the first.
    """

    def __init__(self, *, times: float):
        if times <= 0:
            raise ValueError(f"times: expected more than 0; received {times}.")
        self._times = times

    def __call__(self, optimizer: Optimizer, *, total_steps: int) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: self._times ** (step / max(1, total_steps - 1)))


def rate_factors(rates: Mapping[str, float], network: nn.Module) -> dict[str, float]:
    """Factors of the learning rate by part of the network.

    Raises:
        InputError: the network has no such part, or a factor is not positive.
    """
    factors = {str(part): float(factor) for part, factor in rates.items()}
    if any(factor <= 0 for factor in factors.values()):
        raise InputError(f"task.rates: expected factors above 0; received {factors}. To freeze a part: callbacks=freeze.")
    parts.within(factors, [name for name, _ in network.named_parameters()], key="task.rates")
    return factors


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters as an optimizer takes them: those at the full rate, then a group for each part with a rate of its own.

    Args:
        named: by their names in the task, whose network is `model`.
        rates: by part. Where a name lies in two parts, the longer one counts.
    """
    groups: dict[str, list[nn.Parameter]] = {"": [], **{part: [] for part in rates}}
    for name, parameter in named:
        around = [part for part in rates if parts.inside(name, f"model.{part}")]
        groups[max(around, key=len, default="")].append(parameter)
    return [{"params": group} for group in groups.values()]


def make_optimizer(groups: list[dict[str, Any]], optimizer: Callable[..., Optimizer]) -> Optimizer:
    """The optimizer of these groups of parameters.

    Raises:
        InputError: it refuses its settings, or the parameters.
    """
    try:
        return optimizer(groups)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(optimizer, "func", optimizer)
        raise InputError(
            f"optimizer: expected settings that {getattr(kind, '__name__', kind)} takes; it says: {error}. Correct them, or "
            "take out those of another optimizer, as by ~optimizer.fused."
        ) from error


def optimizer_and_schedule(groups: list[dict[str, Any]], optimization: Optimization) -> Optimizer | dict[str, Any]:
    """Both as Lightning's `configure_optimizers` returns them.

    Raises:
        InputError: one of them refuses its settings, or the training is too short for the schedule.
    """
    optimizer, scheduler = make_optimizer(groups, optimization.optimizer), optimization.scheduler
    if scheduler is None:
        return optimizer
    total_steps = optimization.total_steps
    stated = getattr(scheduler, "keywords", {}).get("total_steps")
    needs_total = "total_steps" in inspect.signature(scheduler).parameters
    total = {"total_steps": stated or total_steps} if needs_total else {}
    kind = getattr(scheduler, "func", scheduler)
    needed = {name for name, one in inspect.signature(kind).parameters.items() if one.default is one.empty}
    for name, value in getattr(scheduler, "keywords", {}).items():
        if name in needed and value is None:
            raise InputError(
                f"scheduler.{name}: expected a number; received null. It may follow trainer.max_epochs, which is null. State "
                "it, or choose a schedule by the step: scheduler=warm_up_cosine."
            )
    try:
        schedule = scheduler(optimizer, **total)
    except ZeroDivisionError as error:
        raise InputError(
            f"scheduler: expected a training long enough for its phases; it has {total_steps} steps in all. "
            "Train longer (trainer.max_epochs), or choose scheduler=constant."
        ) from error
    except (TypeError, ValueError) as error:
        raise InputError(
            f"scheduler: expected settings that {getattr(kind, '__name__', kind)} takes; it says: {error}. Correct them, or "
            "choose scheduler=constant."
        ) from error
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step" if total else "epoch"}}


def check(optimization: Optimization) -> None:
    """Refuses settings of the optimizer or of the schedule before there is a network, which may take long to make.

    Raises:
        InputError: as `optimizer_and_schedule`.
    """
    optimizer_and_schedule([{"params": [nn.Parameter(torch.zeros(1, 1))]}], optimization)


def after_step(trainer: Trainer) -> None:
    """Steps a schedule that goes by the optimizer step."""
    configs = trainer.lr_scheduler_configs
    if configs and configs[0].interval == "step":
        scheduler: Any = configs[0].scheduler
        scheduler.step()


def after_epoch(trainer: Trainer, objective: Objective) -> None:
    """Steps a schedule that goes by the epoch; one that waits for a plateau looks at the objective's metric."""
    configs = trainer.lr_scheduler_configs
    if not configs or configs[0].interval == "step":
        return
    scheduler: Any = configs[0].scheduler
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(trainer.callback_metrics[objective.metric])
    else:
        scheduler.step()


def forget_lengths(checkpoint: dict[str, Any]) -> None:
    """Removes the training's length from the schedules of a checkpoint."""
    for state in checkpoint["lr_schedulers"]:
        for key in LENGTHS:
            state.pop(key, None)
