"""A user's code, with a defect wherever the configuration's classes are called."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """A linear network."""

    def __init__(self, *, input_shape: Sequence[int], num_outputs: int, width: int = 8):
        super().__init__()
        if width < 1:
            raise ValueError(f"width: expected 1 or more; received {width}.")
        size = int(torch.tensor(input_shape).prod())
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Linear(width, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class WrongConstructor(Net):
    """It calls a library with a wrong type."""

    def __init__(self, **sizes: Any):
        super().__init__(**sizes)
        self.head = nn.Linear("eight", 10)  # type: ignore[arg-type]


class WrongForward(Net):
    """It uses a layer that it does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


def passing_on(**settings: Any) -> Net:
    """A function whose signature does not show what it takes."""
    return Net(**settings)
