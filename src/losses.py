"""Losses that torch lacks, as pure functions. Each returns a value for each example, so that processes can add them up."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from src.errors import InputError


def weights(factors: Sequence[float] | None, *, key: str) -> Tensor | None:
    """Factors of a loss by class as a tensor; None for no factors.

    Args:
        key: of the configuration, for messages.
    """
    if factors is None:
        return None
    if not len(factors) or min(factors) < 0:
        raise ValueError(f"{key}: expected a factor of at least 0 for each class, or null; received {list(factors)}.")
    return torch.tensor([float(factor) for factor in factors])


def check_weights(factors: Tensor | None, logits: Tensor, *, key: str) -> Tensor | None:
    """The factors, after a check of their number.

    Raises:
        InputError: there is not one factor for each output, the second dimension of the logits.
    """
    if factors is not None and len(factors) != logits.shape[1]:
        raise InputError(f"{key}: expected {logits.shape[1]} factors, one for each class; received {len(factors)}.")
    return factors


def mean(loss: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor) -> Tensor:
    """A user's loss of a batch, after a check that it is one number.

    Raises:
        InputError: it is none, as where it is not reduced to the mean over the batch.
    """
    value = loss(prediction, target)
    if not isinstance(value, Tensor) or value.ndim:
        received = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"task.loss: expected the mean loss of the batch as a tensor with one number; received {received}.")
    return value


def smooth(shares: Tensor, smoothing: float) -> Tensor:
    """Spreads a share of each row over all classes (Szegedy et al. 2016). The sum of the row stays.

    A row may be multiplied by class weights before. The weight is then that of the true class, and the prediction with the
    smallest loss is the same as without weights. Weights that are applied afterwards, as by torch, also weigh what was spread,
    and move it towards classes with large weights (pytorch#104776).

    Args:
        shares: the target distribution, shape (batch, classes).
    """
    return (1 - smoothing) * shares + smoothing / shares.shape[1] * shares.sum(dim=1, keepdim=True)


def focal(log_probability: Tensor, shares: Tensor, *, focus: float) -> Tensor:
    """The focal loss: cross-entropy in which confident, correct predictions count less (Lin et al. 2017, arXiv:1708.02002).

    Args:
        log_probability: shape (batch, classes).
        shares: the target distribution, of the same shape; rows add up to 1, or to the weight of the example.
        focus: the exponent of one minus the probability, gamma in the paper; 0 is cross-entropy.

    Returns:
        A loss for each example, shape (batch,). It is not divided by the weights, so that the sum over a batch does not
        depend on how processes share the batch.
    """
    complement = (-log_probability.expm1()).clamp(min=1e-12)  # a power below 1 has no finite slope at 0
    return -(shares * complement**focus * log_probability).sum(dim=1)


def pixel_cross_entropy(log_probability: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean negative log probability of the true class over the pixels of each example, shape (batch,).

    Args:
        log_probability: shape (batch, classes, height, width).
        truth: of the same shape, true for the true class, and false for all classes at a pixel that does not count.
        weight: a factor for each class, shape (classes,).
    """
    by_class = -(log_probability * truth).sum(dim=(2, 3))
    total = by_class.sum(dim=1) if weight is None else by_class @ weight
    return total / truth.sum(dim=(1, 2, 3)).clamp(min=1)


def soft_dice(probability: Tensor, truth: Tensor) -> Tensor:
    """One minus the Dice coefficient of probabilities, averaged over classes, shape (batch,).

    As in Milletari et al. 2016, arXiv:1606.04797, but without squares. One pixel is added to numerator and denominator, so
    that a class is correct where an example lacks it and nothing is predicted as it.

    Args:
        probability: shape (batch, classes, height, width), 0 at a pixel that does not count.
        truth: of the same shape, as for `pixel_cross_entropy`.
    """
    both = (probability * truth).sum(dim=(2, 3))
    sizes = probability.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return 1 - ((2 * both + 1) / (sizes + 1)).mean(dim=1)
