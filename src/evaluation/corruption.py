"""Corruptions of images, each at several strengths, in the manner of Hendrycks and Dietterich 2019, arXiv:1903.12261.

Each takes images from 0 to 1, a strength and a generator of random numbers. With the strength 0 the images stay as they are.
The unit of a strength means the same at 8 and at 224 pixels. Shapes: (batch, channels, height, width).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil, radians

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad


class Corruption(ABC):
    """One way to corrupt images.

    Args:
        strengths: above 0, the largest one last.
    """

    unit: str  # of a strength, for the axis of a figure
    moves: bool = False  # whether pixels move, so that a mask no longer fits its image

    def __init__(self, *, strengths: Sequence[float]):
        self.strengths = [float(strength) for strength in strengths]
        if not self.strengths or self.strengths != sorted({*self.strengths}) or self.strengths[0] <= 0:
            raise ValueError(f"expected strengths above 0 in rising order; received {list(strengths)}.")

    @abstractmethod
    def __call__(self, images: Tensor, strength: float, generator: Generator) -> Tensor:
        """Corrupted images, which may leave the range from 0 to 1."""


class Noise(Corruption):
    """Normal noise on each channel of each pixel."""

    unit = "standard deviation, white is 1"

    def __call__(self, images: Tensor, strength: float, generator: Generator) -> Tensor:
        return images + strength * torch.randn(images.shape, generator=generator)


class Blur(Corruption):
    """A Gaussian blur. Beyond the edges the outermost pixels are repeated."""

    unit = "standard deviation, share of the shorter side"

    def __call__(self, images: Tensor, strength: float, generator: Generator) -> Tensor:
        sigma = strength * min(images.shape[2:])
        radius = ceil(3 * sigma)
        if not radius:
            return images
        steps = torch.arange(-radius, radius + 1.0)
        kernel = (-0.5 * (steps / sigma) ** 2).exp()
        kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
        framed = pad(images, [radius] * 4, mode="replicate")
        along = conv2d(framed, kernel, groups=images.shape[1])
        return conv2d(along, kernel.transpose(2, 3), groups=images.shape[1])


class Rotation(Corruption):
    """A rotation about the centre, of each image to a random side. What comes in from outside is black."""

    unit = "degrees"
    moves = True

    def __call__(self, images: Tensor, strength: float, generator: Generator) -> Tensor:
        side = 2.0 * torch.randint(2, (len(images),), generator=generator) - 1
        angle = side * radians(strength)
        cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros(len(images))
        ratio = images.shape[2] / images.shape[3]  # the grid's units are half the width and half the height
        turned = torch.stack([cosine, -sine * ratio, zero, sine / ratio, cosine, zero], dim=1).view(-1, 2, 3)
        grid = affine_grid(turned, list(images.shape), align_corners=False)
        return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class Contrast(Corruption):
    """Lower contrast: every pixel moves towards the mean of its image."""

    unit = "share of the contrast that is lost"

    def __call__(self, images: Tensor, strength: float, generator: Generator) -> Tensor:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return images + strength * (mean - images)


class Missing(Corruption):
    """Random pixels are black in all channels. A pixel that is missing at one strength is missing at every larger one."""

    unit = "share of the pixels"

    def __call__(self, images: Tensor, strength: float, generator: Generator) -> Tensor:
        drawn = torch.rand((len(images), 1, *images.shape[2:]), generator=generator)
        return images * (drawn >= strength)
