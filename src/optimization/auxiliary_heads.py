"""The loss of a network with auxiliary heads."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from src.protocols import Heads, Outcome


def judged(made: Any, judge: Callable[[Tensor], Outcome]) -> Outcome:
    """The outcome of the logits; to its loss those of auxiliary heads are added by their shares.

    Args:
        made: what a network gives, logits or `Heads`.
        judge: of one head's logits.
    """
    if not isinstance(made, Heads):
        return judge(made)
    outcome = judge(made.logits)
    others = [share * judge(logits).loss for logits, share in made.others]
    return outcome._replace(loss=torch.stack([outcome.loss, *others]).sum())
