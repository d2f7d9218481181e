"""Average pooling to a given size, by operations whose gradients are deterministic on every device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


class AveragePooling(nn.Module):
    """What nn.AdaptiveAvgPool2d computes; on CUDA its own backward pass adds up in no fixed order, and is refused.

    Shapes: (batch, channels, height, width) to (batch, channels, *size).
    """

    def __init__(self, size: int | Sequence[int]):
        super().__init__()
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        (height, width), (rows, columns) = x.shape[2:], self.size
        if height % rows == width % columns == 0:
            return avg_pool2d(x, (height // rows, width // columns))
        return _means(height, rows, like=x) @ x @ _means(width, columns, like=x).mT


def _means(places: int, bins: int, *, like: Tensor) -> Tensor:
    """The weights of places in bins, which overlap where the places cannot be shared out. Shape: (bins, places)."""
    number = torch.arange(bins, device=like.device).unsqueeze(1)
    place = torch.arange(places, device=like.device)
    inside = (place >= number * places // bins) & (place < ((number + 1) * places + bins - 1) // bins)
    return (inside / inside.sum(dim=1, keepdim=True)).to(like.dtype)
