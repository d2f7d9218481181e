"""Torch's kernels of fused Adam over lists that are gathered once; `_fused_adam_` and `_fused_adamw_` are private names."""

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer


class FusedAdam:
    """The kernel of torch's fused Adam and AdamW over lists that are gathered once.

    The optimizer's own `step` gathers the lists anew each time. For a small network this takes longer than the kernel. State
    and groups remain the optimizer's, so checkpoints and schedules see what they always see.
    """

    def __init__(self, optimizer: Optimizer):
        self._groups = []
        for group in optimizer.param_groups:
            states = [optimizer.state[parameter] for parameter in group["params"]]
            lists = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
            self._groups.append((kernel, group, group["params"], *lists))

    @classmethod
    def of(cls, optimizer: Optimizer) -> "FusedAdam | None":
        """The kernel of an optimizer; None unless that is a fused Adam which has taken a step for every parameter."""
        if type(optimizer) not in (Adam, AdamW) or optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
            return None
        for group in optimizer.param_groups:
            plain = group["fused"] and not (group["amsgrad"] or group["maximize"] or isinstance(group["lr"], Tensor))
            kinds = {(parameter.device, parameter.dtype) for parameter in group["params"]}
            if not plain or len(kinds) != 1 or not all(optimizer.state.get(parameter) for parameter in group["params"]):
                return None
        return cls(optimizer)

    @torch.no_grad()
    def step(self) -> bool:
        """Takes a step, and says so. It takes none where a parameter has no gradient."""
        gradients = [[parameter.grad for parameter in parameters] for _, _, parameters, *_ in self._groups]
        if any(gradient is None for group in gradients for gradient in group):
            return False
        for (kernel, group, parameters, averages, squares, steps), grads in zip(self._groups, gradients, strict=True):
            beta1, beta2 = group["betas"]
            torch._foreach_add_(steps, 1)
            kernel(
                parameters,
                grads,
                averages,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return True
