"""The two halves of an autoencoder: from examples down to latents, and through mirrored layers up again."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn


def encoder(shape: Sequence[int], *, channels: Sequence[int], hidden: Sequence[int], latent_size: int) -> nn.Sequential:
    """Convolutions that each halve the picture, then linear layers, with ReLU between all layers.

    Shapes: (batch, *shape) to (batch, latent_size).

    Args:
        channels: of the convolutions; empty for linear layers only, which take examples of any shape.
        hidden: outputs of the linear layers before the last one.
    """
    shapes = _shapes(shape, channels)
    layers: list[nn.Module] = []
    for one, other in pairwise(shapes):
        layers += [nn.Conv2d(one[0], other[0], 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), *_linear([prod(shapes[-1]), *hidden, latent_size]))


def decoder(shape: Sequence[int], *, channels: Sequence[int], hidden: Sequence[int], latent_size: int) -> nn.Sequential:
    """The mirrored layers of the encoder with the same arguments. The output is unbounded.

    Shapes: (batch, latent_size) to (batch, *shape).
    """
    shapes = _shapes(shape, channels)[::-1]
    layers: list[nn.Module] = [*_linear([latent_size, *hidden[::-1], prod(shapes[0])]), nn.Unflatten(1, tuple(shapes[0]))]
    for one, other in pairwise(shapes):
        odd = (other[1] % 2, other[2] % 2)  # the line that was lost by halving an odd size
        layers += [nn.ReLU(), nn.ConvTranspose2d(one[0], other[0], 4, stride=2, padding=1, output_padding=odd)]
    return nn.Sequential(*layers)


def _shapes(shape: Sequence[int], channels: Sequence[int]) -> list[Sequence[int]]:
    """The shapes before, between and after the convolutions."""
    shapes: list[Sequence[int]] = [shape]
    for count in channels:
        _, height, width = shapes[-1]
        shapes.append((count, height // 2, width // 2))
    if min(shapes[-1]) < 1:
        smallest = 2 ** len(channels)
        raise ValueError(
            f"model.channels: expected images of at least {smallest}x{smallest} pixels for {len(channels)} halvings; received "
            f"{shape[1]}x{shape[2]}. Leave out some of the channels, or use larger images."
        )
    return shapes


def _linear(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for one, other in pairwise(sizes):
        layers += [nn.Linear(one, other), nn.ReLU()]
    return layers[:-1]
