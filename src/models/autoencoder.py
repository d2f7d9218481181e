"""A fully connected autoencoder (Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from src.protocols import Reconstruction


class Autoencoder(nn.Module):
    """Squeezes its input through a code and builds it up again by the mirrored layers.

    Shapes: (batch, *input_shape) to an output of the same shape and a code of (batch, code).
    """

    def __init__(self, *, input_shape: Sequence[int], hidden: Sequence[int], code: int):
        super().__init__()
        sizes = [prod(input_shape), *hidden, code]
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(sizes))
        self.decoder = nn.Sequential(*_layers(sizes[::-1]), nn.Unflatten(1, tuple(input_shape)))

    def forward(self, x: Tensor) -> Reconstruction:
        code = self.encoder(x)
        return Reconstruction(output=self.decoder(code), code=code)


def _layers(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for one, other in pairwise(sizes):
        layers += [nn.Linear(one, other), nn.ReLU()]
    return layers[:-1]
