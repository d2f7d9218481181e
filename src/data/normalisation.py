"""Preprocessing of a whole batch on its device, before the model."""

import numpy as np
import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Pixels from 0 to 255, of any type, to float32 centred and scaled by channel.

    Shapes: (batch, channels, height, width) to the same.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, *, mean: np.ndarray, std: np.ndarray):
        super().__init__()
        scale = 1 / (255 * torch.as_tensor(std, dtype=torch.float32))
        shift = -torch.as_tensor(mean, dtype=torch.float32) / torch.as_tensor(std, dtype=torch.float32)
        self.register_buffer("scale", scale.reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.dtype == self.scale.dtype:
            return torch.addcmul(self.shift, pixels, self.scale)
        return pixels.to(self.scale.dtype).mul_(self.scale).add_(self.shift)  # in place, on the copy

    def pixels(self, normalised: Tensor) -> Tensor:
        """The inverse, to float32 from 0 to 1."""
        return ((normalised.float() - self.shift) / (255 * self.scale)).clamp(0, 1)
