"""Losses that torch lacks, as pure functions; each gives one value an example, so that they add up over processes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from src.errors import InputError


def weights(factors: Sequence[float] | None, *, key: str) -> Tensor | None:
    """Factors of a loss by class as a tensor; None where none are given."""
    if factors is None:
        return None
    if not len(factors) or min(factors) < 0:
        raise ValueError(f"{key}: expected factors from 0; received {list(factors)}. Give each class one, or null for none.")
    return torch.tensor([float(factor) for factor in factors])


def fitting(factors: Tensor | None, logits: Tensor, *, key: str) -> Tensor | None:
    """The factors, which are as many as the outputs, the second dimension of the logits.

    Raises:
        InputError: there are more or fewer.
    """
    if factors is not None and len(factors) != logits.shape[1]:
        raise InputError(f"{key}: expected {logits.shape[1]} factors, one for each class; received {len(factors)}.")
    return factors


def focal(log_probability: Tensor, shares: Tensor, *, focus: float, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy in which a class counts less the surer its right answer is (Lin et al. 2017, arXiv:1708.02002).

    Args:
        log_probability: shape (batch, classes).
        shares: of the same shape, how much of each class an example is; they add up to 1.
        focus: the power of what is left of the probability to 1; 0 is cross-entropy.
        weight: a factor for each class, shape (classes,).

    Returns:
        A loss for each example, shape (batch,). It is not divided by the weights: the sum over a batch then does not
        depend on how the batch is shared out.
    """
    left = (-log_probability.expm1()).clamp(min=1e-12)  # a power below 1 has no finite slope at 0
    each = -shares * left**focus * log_probability
    return each.sum(dim=1) if weight is None else each @ weight


def pixel_cross_entropy(log_probability: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean negative log probability of the right class over the pixels of each example, shape (batch,).

    Args:
        log_probability: shape (batch, classes, height, width).
        truth: of the same shape, true for the right class; for no class at a pixel that does not count.
        weight: a factor for each class, shape (classes,).
    """
    by_class = -(log_probability * truth).sum(dim=(2, 3))
    total = by_class.sum(dim=1) if weight is None else by_class @ weight
    return total / truth.sum(dim=(1, 2, 3)).clamp(min=1)


def soft_dice(probability: Tensor, truth: Tensor) -> Tensor:
    """1 less the Dice coefficient of probabilities, its mean over classes (as Milletari et al. 2016,
    arXiv:1606.04797, without its squares).

    A pixel is added to both terms of the ratio, so that a class which an example lacks counts as met where nothing is
    said to be of it. Shapes as above, probabilities 0 at a pixel that does not count; gives (batch,).
    """
    both = (probability * truth).sum(dim=(2, 3))
    sizes = probability.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return 1 - ((2 * both + 1) / (sizes + 1)).mean(dim=1)
