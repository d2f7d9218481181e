"""Feed-forward networks of any depth."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn


class FNN(nn.Module):
    """Flattens its input and passes it through fully connected ReLU layers.

    Shapes: (batch, *input_shape) to (batch, num_outputs).

    Args:
        hidden: units of each hidden layer; none makes a linear model.
        batch_norm: batch normalisation between each hidden layer and its ReLU (Ioffe and Szegedy 2015).
        dropout: probability after each hidden layer.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        hidden: Sequence[int],
        num_outputs: int,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        size = prod(input_shape)
        for units in hidden:
            layers.append(nn.Linear(size, units))
            layers += [nn.BatchNorm1d(units)] if batch_norm else []
            layers.append(nn.ReLU())
            layers += [nn.Dropout(dropout)] if dropout else []
            size = units
        self.layers = nn.Sequential(*layers, nn.Linear(size, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
