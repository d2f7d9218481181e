"""Losses that torch lacks, as pure functions; each gives one value an example, so that they add up over processes."""

from torch import Tensor


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
    """1 less the Dice coefficient of probabilities, its mean over classes (Milletari et al. 2016, arXiv:1606.04797).

    A pixel is added to both terms of the ratio, so that a class which an example lacks counts as met where nothing is
    said to be of it. Shapes as above, probabilities 0 at a pixel that does not count; gives (batch,).
    """
    both = (probability * truth).sum(dim=(2, 3))
    sizes = probability.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return 1 - ((2 * both + 1) / (sizes + 1)).mean(dim=1)
