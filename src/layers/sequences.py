"""What networks over padded sequences have in common."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["max", "mean"]


def inside(x: Tensor, lengths: Tensor) -> Tensor:
    """Which elements are no padding, (batch, longest).

    Args:
        x: (batch, longest, ...).
    """
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def pool(x: Tensor, lengths: Tensor, pooling: Pooling) -> Tensor:
    """The largest value or the mean over each sequence, without its padding: (batch, longest, size) to (batch, size)."""
    within = inside(x, lengths).unsqueeze(2)
    if pooling == "max":
        return x.masked_fill(~within, torch.finfo(x.dtype).min).amax(dim=1)
    return x.masked_fill(~within, 0).sum(dim=1) / lengths[:, None].to(x.dtype)
