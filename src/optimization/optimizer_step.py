"""The optimizer steps within a block, as short as the trainer's strategy and its hooks allow.

This module calls private names of Lightning and torch: LightningOptimizer's `_on_before_step` and `_on_after_step`, which count
`global_step`; `found_inf`, by which fused optimizers skip an update; and `_opt_called`, by which schedulers see that a step was
taken. Only src.optimization.fused_adam does so besides.
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
from src.optimization.divergence import DivergencePolicy, Skip
from src.optimization.fused_adam import FusedAdam

BACKWARD_HOOKS = ("on_before_backward", "on_after_backward", "backward")
STEP_HOOKS = ("on_before_optimizer_step", "on_before_zero_grad", "optimizer_step", "optimizer_zero_grad")


class OptimizerStep:
    """The backward passes and optimizer steps of one fit.

    Lightning's own calls are used where a callback or the task overrides one of their hooks, where the strategy must see the
    backward pass, and where gradients are scaled. Otherwise torch is called directly, which is faster. Both give the same
    weights.

    Args:
        clip: the largest norm of all gradients together; None for no limit.
        divergence: the factor of all learning rates, and whether updates are checked.
        factors: of the learning rate, by group of parameters. The schedule does not see them, because it may set all groups to
            one rate.
    """

    def __init__(
        self, task: LightningModule, clip: float | None, divergence: DivergencePolicy, factors: Sequence[float] = (1.0,)
    ):
        trainer = task.trainer
        self._task = task
        lightning_optimizer: Any = task.optimizers()
        self._lightning_optimizer = lightning_optimizer
        self._optimizer: Optimizer = lightning_optimizer.optimizer
        self.parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        self._clip = clip
        self._rate_factor = divergence.rate_factor
        self._factors = [self._rate_factor * factor for factor in factors]
        self._scaler = getattr(trainer.precision_plugin, "scaler", None)
        plain = type(trainer.strategy) is SingleDeviceStrategy and self._scaler is None
        self._direct_backward = plain and not _is_hooked(trainer, BACKWARD_HOOKS)
        self._direct_step = self._scaler is None and not _is_hooked(trainer, STEP_HOOKS)
        self._fused_adam: FusedAdam | None = None
        self._guard = UpdateGuard(task, self._optimizer, divergence) if isinstance(divergence, Skip) else None
        if self._guard is not None and self._scaler is not None:
            raise InputError(
                "divergence=skip: expected a precision without scaled gradients; with 16-mixed the scaler skips such updates "
                "itself. Choose trainer.precision=bf16-mixed, or another divergence."
            )

    @property
    def learning_rate(self) -> Tensor:
        """The learning rate of the first group of parameters, ()."""
        return torch.tensor(self._optimizer.param_groups[0]["lr"] * self._rate_factor)

    def begin(self) -> None:
        """Must be called before the forward passes of a step."""
        if self._guard is not None:
            self._guard.begin()

    def backward(self, loss: Tensor) -> None:
        if self._direct_backward:
            loss.backward()
        else:
            self._task.manual_backward(loss)

    def step(self, losses: Sequence[Tensor], *, last: bool = True) -> None:
        """Updates the weights by the gradients, or skips the update and counts the step all the same.

        Args:
            losses: that the gradients are of.
            last: whether it is the last update of a training step. When one is skipped, the later ones of its training step
                are skipped too.
        """
        norm, scale = None, 1.0
        if self._scaler is not None and getattr(self._optimizer, "_step_supports_amp_scaling", False):
            self._scaler.unscale_(self._optimizer)
        elif self._scaler is not None and self._clip is not None:  # Lightning unscales itself, which is allowed once
            scale = self._scaler.get_scale()
        if self._clip is not None:
            norm = clip_grad_norm_(self.parameters, scale * self._clip)
        if self._guard is not None:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            if self._guard.must_skip(losses, get_total_norm(gradients) if norm is None else norm, last=last):
                if last:
                    self._lightning_optimizer._on_before_step()
                    self._lightning_optimizer._on_after_step()
                self.zero_grad()
                return
        if all(factor == 1 for factor in self._factors):
            self._update(counts=last)
            return
        rates = [group["lr"] for group in self._optimizer.param_groups]  # the schedule continues from them
        for group, rate, factor in zip(self._optimizer.param_groups, rates, self._factors, strict=True):
            group["lr"] = rate * factor
        self._update(counts=last)
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _update(self, *, counts: bool) -> None:
        if self._direct_step:
            if counts:
                self._lightning_optimizer._on_before_step()
            if self._fused_adam is None or not self._fused_adam.step():
                self._optimizer.step()
                self._fused_adam = self._fused_adam or self._kernel()
            if counts:
                self._lightning_optimizer._on_after_step()
            self.zero_grad()
        else:
            if counts:
                self._lightning_optimizer.step()
            else:
                self._task.trainer.strategy.optimizer_step(self._optimizer, lambda: None)
            self._lightning_optimizer.zero_grad(set_to_none=True)

    def _kernel(self) -> FusedAdam | None:
        """The optimizer's kernel. It knows nothing of updates that are skipped on the device."""
        return None if self._guard is not None and self._guard.on_device else FusedAdam.of(self._optimizer)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


class UpdateGuard:
    """Skips updates that would make weights NaN or infinite.

    Fused optimizers on an accelerator skip them without a wait for the host. For all others the host decides.
    """

    def __init__(self, task: LightningModule, optimizer: Optimizer, skip: Skip):
        self._optimizer = optimizer
        self._skip = skip
        self._trainer = task.trainer
        self._buffers = [*task.buffers()]
        self._buffers_before: list[Tensor] = []
        self._skipped: Tensor | None = None  # whether an update of this training step was skipped, ()
        fused = all(group.get("fused") for group in optimizer.param_groups)
        self.on_device = fused and task.device.type != "cpu"

    def begin(self) -> None:
        """Keeps the buffers, which the forward passes of a step change."""
        self._buffers_before = [buffer.clone() for buffer in self._buffers]

    def must_skip(self, losses: Sequence[Tensor], norm: Tensor, *, last: bool) -> bool:
        """Whether the host must skip the update.

        Args:
            norm: of all gradients together.
            last: whether it is the last update of a training step.
        """
        if isinstance(norm, DTensor):  # of sharded gradients
            norm = norm.full_tensor()
        skipped = ~(torch.isfinite(torch.stack([*losses])).all() & torch.isfinite(norm))
        if self._trainer.world_size > 1:  # all processes share the gradients, but losses and buffers are each process's own
            skipped = self._trainer.strategy.reduce(skipped.float(), reduce_op="max") > 0
        if self._skipped is not None:
            skipped = skipped | self._skipped
        self._skipped = None if last else skipped
        if last:
            self._skip.count(skipped)
        if self.on_device:
            self._optimizer.found_inf = skipped.float()  # type: ignore[attr-defined]
            for buffer, before in zip(self._buffers, self._buffers_before, strict=True):
                buffer.copy_(torch.where(skipped, before, buffer))
            return False
        if not skipped:
            return False
        for buffer, before in zip(self._buffers, self._buffers_before, strict=True):
            buffer.copy_(before)
        self._optimizer._opt_called = True  # type: ignore[attr-defined]
        return True


def share_buffers(trainer: Trainer, model: nn.Module) -> None:
    """Gives every process the first one's buffers, such as the averages of batch normalisation.

    DDP does so only in automatic optimization. Without it each process would validate a network of its own, and a checkpoint,
    which holds the first one's buffers, would not continue the other processes.
    """
    if trainer.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


def _is_hooked(trainer: Trainer, hooks: tuple[str, ...]) -> bool:
    """Whether a callback or the task overrides one of these hooks."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    kinds: list[tuple[object, object]] = [(type(callback), Callback) for callback in callbacks]
    kinds.append((type(trainer.lightning_module), LightningModule))
    return any(getattr(kind, hook, None) is not getattr(base, hook, None) for kind, base in kinds for hook in hooks)
