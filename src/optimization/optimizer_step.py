"""The optimizer steps within a block, as short as the trainer's strategy and its hooks allow.

It calls private names of Lightning and torch: LightningOptimizer's `_on_before_step` and `_on_after_step`, which count
`global_step`, the `found_inf` by which fused optimizers leave an update out, and the `_opt_called` by which schedulers see
that one was taken. With src.optimization.fused_adam it is the only place of the repository that does so for speed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from src.errors import InputError
from src.optimization.divergence import Policy, Skip
from src.optimization.fused_adam import FusedAdam

BACKWARD_HOOKS = ("on_before_backward", "on_after_backward", "backward")
STEP_HOOKS = ("on_before_optimizer_step", "on_before_zero_grad", "optimizer_step", "optimizer_zero_grad")


class Stepping:
    """The optimizer steps of one fit.

    Lightning's own way is taken where something listens to it (a callback's or a task's hook), where the strategy
    must see the backward pass, and where gradients are scaled. Both ways give the same weights.

    Args:
        clip: the largest norm of all gradients together, None for no limit.
        divergence: by what learning rates are multiplied, and whether updates that would do harm are left out.
        factors: by which the rate of each group of parameters is multiplied besides. The schedule does not see them: it may
            set all groups to one rate.
    """

    def __init__(self, task: LightningModule, clip: float | None, divergence: Policy, factors: Sequence[float] = (1.0,)):
        trainer = task.trainer
        self._task = task
        wrapped: Any = task.optimizers()
        self._wrapped = wrapped
        self._optimizer: Optimizer = wrapped.optimizer
        self.parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        self._clip = clip
        self._rate = divergence.rate
        self._factors = [self._rate * factor for factor in factors]
        self._scaler = getattr(trainer.precision_plugin, "scaler", None)
        alone = type(trainer.strategy) is SingleDeviceStrategy and self._scaler is None
        self._short_backward = alone and not _heard(trainer, BACKWARD_HOOKS)
        self._short_step = self._scaler is None and not _heard(trainer, STEP_HOOKS)
        self._kernel: FusedAdam | None = None
        self._guard = Guard(task, self._optimizer, divergence) if isinstance(divergence, Skip) else None
        if self._guard is not None and self._scaler is not None:
            raise InputError(
                "divergence=skip: expected a precision without scaled gradients; with 16-mixed the scaler leaves out such "
                "updates by itself. Choose trainer.precision=bf16-mixed, or another divergence."
            )

    @property
    def rate(self) -> Tensor:
        """The learning rate of the first group of parameters."""
        return torch.tensor(self._optimizer.param_groups[0]["lr"] * self._rate)

    def begin(self) -> None:
        """Before the forward passes of a step."""
        if self._guard is not None:
            self._guard.begin()

    def backward(self, loss: Tensor) -> None:
        if self._short_backward:
            loss.backward()
        else:
            self._task.manual_backward(loss)

    def step(self, losses: Sequence[Tensor], *, last: bool = True) -> None:
        """Takes the step that these losses gave the gradients of, or leaves it out and counts it all the same.

        Args:
            last: of those that count as one; where one is left out, so are those after it.
        """
        norm, scale = None, 1.0
        if self._scaler is not None and getattr(self._optimizer, "_step_supports_amp_scaling", False):
            self._scaler.unscale_(self._optimizer)
        elif self._scaler is not None and self._clip is not None:  # Lightning unscales before its hooks, and nobody may twice
            scale = self._scaler.get_scale()
        if self._clip is not None:
            norm = clip_grad_norm_(self.parameters, scale * self._clip)
        if self._guard is not None:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            if self._guard.refuses(losses, get_total_norm(gradients) if norm is None else norm, last=last):
                if last:
                    self._wrapped._on_before_step()
                    self._wrapped._on_after_step()
                self.forget()
                return
        if all(factor == 1 for factor in self._factors):
            self._take(last)
            return
        rates = [group["lr"] for group in self._optimizer.param_groups]  # the scheduler's, who goes on from them
        for group, rate, factor in zip(self._optimizer.param_groups, rates, self._factors, strict=True):
            group["lr"] = rate * factor
        self._take(last)
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _take(self, counted: bool) -> None:
        if self._short_step:
            if counted:
                self._wrapped._on_before_step()
            if self._kernel is None or not self._kernel.step():
                self._optimizer.step()
                self._kernel = self._kernel or self._shortest()
            if counted:
                self._wrapped._on_after_step()
            self.forget()
        else:
            if counted:
                self._wrapped.step()
            else:
                self._task.trainer.strategy.optimizer_step(self._optimizer, lambda: None)
            self._wrapped.zero_grad(set_to_none=True)

    def _shortest(self) -> FusedAdam | None:
        return None if self._guard is not None and self._guard.on_device else FusedAdam.of(self._optimizer)

    def forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


class Guard:
    """Leaves out updates that would put something that is not a number into the weights.

    Fused optimizers on an accelerator leave them out by themselves, so that nothing waits for it; others are asked to by
    the host.
    """

    def __init__(self, task: LightningModule, optimizer: Optimizer, skip: Skip):
        self._optimizer = optimizer
        self._skip = skip
        self._trainer = task.trainer
        self._buffers = [*task.buffers()]
        self._before: list[Tensor] = []
        self._wrong: Tensor | None = None  # whether an update of this step was left out
        fused = all(group.get("fused") for group in optimizer.param_groups)
        self.on_device = fused and task.device.type != "cpu"

    def begin(self) -> None:
        self._before = [buffer.clone() for buffer in self._buffers]

    def refuses(self, losses: Sequence[Tensor], norm: Tensor, *, last: bool) -> bool:
        """Whether the host must leave the update out.

        Args:
            norm: of all gradients together.
            last: of the updates that count as one step.
        """
        if isinstance(norm, DTensor):  # of gradients that are shared out
            norm = norm.full_tensor()
        wrong = ~(torch.isfinite(torch.stack([*losses])).all() & torch.isfinite(norm))
        if self._trainer.world_size > 1:  # gradients are everyone's, losses and buffers each process's own
            wrong = self._trainer.strategy.reduce(wrong.float(), reduce_op="max") > 0
        if self._wrong is not None:
            wrong = wrong | self._wrong
        self._wrong = None if last else wrong
        if last:
            self._skip.note(wrong)
        if self.on_device:
            self._optimizer.found_inf = wrong.float()  # type: ignore[attr-defined]
            for buffer, before in zip(self._buffers, self._before, strict=True):
                buffer.copy_(torch.where(wrong, before, buffer))
            return False
        if not wrong:
            return False
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)
        self._optimizer._opt_called = True  # type: ignore[attr-defined]
        return True


def share_buffers(trainer: Trainer, model: nn.Module) -> None:
    """Gives every process the first one's buffers, such as the averages of batch normalisation.

    DDP does so only where the optimization is automatic; otherwise each process would validate a network of its
    own, and a checkpoint, which holds the first one's, would not continue the others.
    """
    if trainer.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


def _heard(trainer: Trainer, hooks: tuple[str, ...]) -> bool:
    """Whether a callback or the task has a hook of its own among these."""
    heard: list[tuple[object, object]] = [(type(callback), Callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    heard.append((type(trainer.lightning_module), LightningModule))
    return any(getattr(kind, hook, None) is not getattr(base, hook, None) for kind, base in heard for hook in hooks)
