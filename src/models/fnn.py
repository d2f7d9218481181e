"""Feed-forward networks of any depth."""

from collections.abc import Callable, Sequence
from math import prod

from torch import Tensor, nn

from src.value_types import Count, ShareBelowOne


class FNN(nn.Module):
    """Flattens its input and applies fully connected layers.

    Shapes: (batch, *input_shape) to (batch, num_outputs).

    Args:
        hidden: units of each hidden layer; empty for a linear model.
        activation: makes the activation after a hidden layer.
        batch_norm: batch normalisation between each hidden layer and its activation (Ioffe and Szegedy 2015).
        dropout: probability after each hidden layer.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[Count],
        hidden: Sequence[Count],
        num_outputs: Count,
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: ShareBelowOne = 0.0,
        batch_norm: bool = False,
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        size = prod(input_shape)
        for units in hidden:
            layers.append(nn.Linear(size, units))
            layers += [nn.BatchNorm1d(units)] if batch_norm else []
            layers.append(activation())
            layers += [nn.Dropout(dropout)] if dropout else []
            size = units
        self.layers = nn.Sequential(*layers, nn.Linear(size, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
