"""Pairwise mixtures of the examples of a batch. The task decides how their targets are mixed.

Kornia has both mixtures, but draws the shares of mixup from a uniform distribution instead of a beta distribution.
"""

import torch
from torch import Tensor
from torch.distributions import Beta

from src.protocols import Mix


class Mixup:
    """The weighted mean of each example and another one (Zhang, Cisse, Dauphin and Lopez-Paz 2018, arXiv:1710.09412).

    Args:
        alpha: of the beta distribution of the weights. A smaller one makes one of the two examples dominate.
    """

    def __init__(self, *, alpha: float):
        self._alpha = _positive(alpha)

    def __call__(self, images: Tensor) -> tuple[Tensor, Mix]:
        mix = _pairs(images, self._alpha)
        return torch.lerp(images[mix.partner], images, mix.share.view(-1, 1, 1, 1)), mix


class Cutmix:
    """Each example with a box of another example pasted in (Yun et al. 2019, arXiv:1905.04899).

    Args:
        alpha: of the beta distribution of the share that a box leaves of the example, before the border cuts it off.
    """

    def __init__(self, *, alpha: float):
        self._alpha = _positive(alpha)

    def __call__(self, images: Tensor) -> tuple[Tensor, Mix]:
        partner, share = _pairs(images, self._alpha)
        side = (1 - share).sqrt()
        box = _interval(side, images.shape[2]).unsqueeze(2) & _interval(side, images.shape[3]).unsqueeze(1)
        remaining = 1 - box.float().mean(dim=(1, 2))
        return torch.where(box.unsqueeze(1), images[partner], images), Mix(partner, remaining)


def _positive(alpha: float) -> float:
    if alpha <= 0:
        raise ValueError(f"expected alpha above 0; received {alpha}.")
    return float(alpha)


def _pairs(images: Tensor, alpha: float) -> Mix:
    count, device = len(images), images.device
    distribution = Beta(torch.tensor(alpha, device=device), torch.tensor(alpha, device=device), validate_args=False)
    return Mix(torch.randperm(count, device=device), distribution.sample((count,)))


def _interval(side: Tensor, length: int) -> Tensor:
    """A mask of the pixels of a line in an interval around a uniformly random centre, (batch, length).

    Args:
        side: the length of the interval as a share of the line.
    """
    centre = torch.rand_like(side) * length
    distance = torch.arange(length, device=side.device) + 0.5 - centre.unsqueeze(1)
    return distance.abs() < (side * length / 2).unsqueeze(1)
