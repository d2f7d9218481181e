"""The optimizer and the schedule of its learning rate: by the step where it asks for `total_steps`, else by the epoch."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from src.errors import InputError
from src.optimization import parts

# What a scheduler keeps of the training's length. A run that is trained further goes on in a schedule of the new length.
LENGTHS = ("total_steps", "T_max", "_schedule_phases")


class WarmUpCosine:
    """Makes the schedule of a rate that rises in a straight line and falls to zero by a cosine (Loshchilov and Hutter 2017).

    Args:
        share: of the steps that it rises in.
    """

    def __init__(self, *, share: float):
        if not 0 <= share < 1:
            raise ValueError(f"share: expected 0 up to, but not including, 1; received {share}.")
        self._share = share

    def __call__(self, optimizer: Optimizer, *, total_steps: int) -> LambdaLR:
        rising = int(self._share * total_steps)

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)
            return (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total_steps - rising)))) / 2

        return LambdaLR(optimizer, factor)


def factors(rates: Mapping[str, float] | None, network: nn.Module) -> dict[str, float]:
    """Factors of the learning rate by part of the network.

    Raises:
        InputError: a part that the network lacks, or a factor that trains nothing.
    """
    found = {str(part): float(factor) for part, factor in (rates or {}).items()}
    if any(factor <= 0 for factor in found.values()):
        raise InputError(f"task.rates: expected factors above 0; received {found}. To freeze a part: callbacks=freeze.")
    parts.within(found, [name for name, _ in network.named_parameters()], key="task.rates")
    return found


def grouped(named: Iterable[tuple[str, nn.Parameter]], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters as an optimizer takes them: those at the full rate, then a group for each part that has a rate of its own.

    Args:
        named: by their names in the task, whose network is `model`.
        rates: by part; of two parts that a name lies in, the narrower one holds.
    """
    groups: dict[str, list[nn.Parameter]] = {"": [], **{part: [] for part in rates}}
    for name, parameter in named:
        found = [part for part in rates if parts.inside(name, f"model.{part}")]
        groups[max(found, key=len, default="")].append(parameter)
    return [{"params": group} for group in groups.values()]


class Growing:
    """Makes the schedule of a rate that grows by the same factor each step.

    Args:
        times: the rate of the last step, as so many times that of the first.
    """

    def __init__(self, *, times: float):
        if times <= 0:
            raise ValueError(f"times: expected more than 0; received {times}.")
        self._times = times

    def __call__(self, optimizer: Optimizer, *, total_steps: int) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: self._times ** (step / max(1, total_steps - 1)))


def optimized(groups: list[dict[str, Any]], optimizer: Callable[..., Optimizer]) -> Optimizer:
    """The optimizer of these parameters.

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


def configured(
    groups: list[dict[str, Any]],
    optimizer: Callable[..., Optimizer],
    scheduler: Callable[..., LRScheduler] | None,
    *,
    total_steps: int,
) -> Any:
    """Both as Lightning wants them.

    Raises:
        InputError: settings that the optimizer refuses, or a training too short for the schedule.
    """
    made = optimized(groups, optimizer)
    if scheduler is None:
        return made
    given = getattr(scheduler, "keywords", {}).get("total_steps")
    needs_total = "total_steps" in inspect.signature(scheduler).parameters
    total = {"total_steps": given or total_steps} if needs_total else {}
    kind = getattr(scheduler, "func", scheduler)
    needed = {name for name, one in inspect.signature(kind).parameters.items() if one.default is one.empty}
    for name, value in getattr(scheduler, "keywords", {}).items():
        if name in needed and value is None:
            raise InputError(
                f"scheduler.{name}: expected a number; received null, as where it follows trainer.max_epochs and that is null. "
                f"State it, or choose a schedule that goes by the step: scheduler=warm_up_cosine."
            )
    try:
        schedule = scheduler(made, **total)
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
    return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "step" if total else "epoch"}}


def after_step(trainer: Trainer) -> None:
    configs = trainer.lr_scheduler_configs
    if configs and configs[0].interval == "step":
        scheduler: Any = configs[0].scheduler
        scheduler.step()


def after_epoch(trainer: Trainer, objective: str) -> None:
    """Args:
    objective: the metric that a scheduler may wait for.
    """
    configs = trainer.lr_scheduler_configs
    if not configs or configs[0].interval == "step":
        return
    scheduler: Any = configs[0].scheduler
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(trainer.callback_metrics[objective])
    else:
        scheduler.step()


def forget_lengths(checkpoint: dict[str, Any]) -> None:
    for state in checkpoint["lr_schedulers"]:
        for key in LENGTHS:
            state.pop(key, None)
