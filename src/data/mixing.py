"""Mixtures of the examples of a batch, two by two. How their targets are mixed is the task's to say.

Kornia has both, but draws the shares of mixup evenly instead of from a beta distribution.
"""

import torch
from torch import Tensor
from torch.distributions import Beta

from src.protocols import Mix


class Mixup:
    """Each example in shares with another one (Zhang, Cisse, Dauphin and Lopez-Paz 2018, arXiv:1710.09412).

    Args:
        alpha: of the beta distribution that gives the shares of a pair; the smaller, the more one of the two prevails.
    """

    def __init__(self, *, alpha: float):
        self._alpha = _positive(alpha)

    def __call__(self, images: Tensor) -> tuple[Tensor, Mix]:
        mix = _pairs(images, self._alpha)
        return torch.lerp(images[mix.partner], images, mix.share.view(-1, 1, 1, 1)), mix


class Cutmix:
    """Each example with a box of another one in it (Yun et al. 2019, arXiv:1905.04899).

    Args:
        alpha: of the beta distribution that gives the share which a box leaves of the example, before it is cut off
            at the border.
    """

    def __init__(self, *, alpha: float):
        self._alpha = _positive(alpha)

    def __call__(self, images: Tensor) -> tuple[Tensor, Mix]:
        partner, share = _pairs(images, self._alpha)
        side = (1 - share).sqrt()
        box = _within(side, images.shape[2]).unsqueeze(2) & _within(side, images.shape[3]).unsqueeze(1)
        left = 1 - box.float().mean(dim=(1, 2))
        return torch.where(box.unsqueeze(1), images[partner], images), Mix(partner, left)


def _positive(alpha: float) -> float:
    if alpha <= 0:
        raise ValueError(f"expected alpha above 0; received {alpha}.")
    return float(alpha)


def _pairs(images: Tensor, alpha: float) -> Mix:
    count, device = len(images), images.device
    distribution = Beta(torch.tensor(alpha, device=device), torch.tensor(alpha, device=device), validate_args=False)
    return Mix(torch.randperm(count, device=device), distribution.sample((count,)))


def _within(side: Tensor, length: int) -> Tensor:
    """Which pixels of a line lie in an interval with an even random centre, (batch, length); `side` is its share."""
    centre = torch.rand_like(side) * length
    distance = torch.arange(length, device=side.device) + 0.5 - centre.unsqueeze(1)
    return distance.abs() < (side * length / 2).unsqueeze(1)
