"""Average pooling to a fixed output size, by operations whose gradients are deterministic on every device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


class AveragePooling(nn.Module):
    """Computes the same as nn.AdaptiveAvgPool2d, whose backward pass is not deterministic on CUDA.

    Shapes: (batch, channels, height, width) to (batch, channels, *size).
    """

    def __init__(self, size: int | Sequence[int]):
        super().__init__()
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        (height, width), (rows, columns) = x.shape[2:], self.size
        if height % rows == width % columns == 0:
            return avg_pool2d(x, (height // rows, width // columns))
        return _averages(height, rows, like=x) @ x @ _averages(width, columns, like=x).mT


def _averages(length: int, bins: int, *, like: Tensor) -> Tensor:
    """The weight of each pixel of a line in each bin. Bins overlap where they do not divide the line. Shape: (bins, length)."""
    number = torch.arange(bins, device=like.device).unsqueeze(1)
    pixel = torch.arange(length, device=like.device)
    inside = (pixel >= number * length // bins) & (pixel < ((number + 1) * length + bins - 1) // bins)
    return (inside / inside.sum(dim=1, keepdim=True)).to(like.dtype)
