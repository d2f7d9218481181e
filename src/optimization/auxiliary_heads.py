"""The loss of a network with auxiliary heads."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.errors import InputError
from src.protocols import Heads, Outcome


def add_auxiliary_losses(output: object, outcome: Callable[[Tensor], Outcome]) -> Outcome:
    """The outcome of a network's logits. The losses of its auxiliary heads are added, each times its weight.

    Args:
        output: of the network, logits or `Heads`.
        outcome: of one head's logits.

    Raises:
        InputError: the output is neither.
    """
    if isinstance(output, Tensor):
        return outcome(output)
    if not isinstance(output, Heads):
        raise InputError(
            f"task: expected a model that gives logits; this one gives {type(output).__name__}. Choose another model, or the "
            "task that it is made for."
        )
    main = outcome(output.logits)
    auxiliary = [weight * outcome(logits).loss for logits, weight in output.auxiliary]
    return main._replace(loss=torch.stack([main.loss, *auxiliary]).sum())
