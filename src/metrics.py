"""Metrics as pure functions of arrays. Several work on many resamples of a bootstrap at once."""

from collections.abc import Callable

import numpy as np


def confusion(target: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts, shape (classes, classes): rows are true classes, columns predicted ones."""
    cells = np.bincount(target * num_classes + prediction, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def from_confusion(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of `from_totals`.

    Args:
        counts: shape (..., classes, classes).
    """
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    return from_totals(correct, actual=counts.sum(axis=-1), predicted=counts.sum(axis=-2))


def totals(
    target: np.ndarray, prediction: np.ndarray, num_classes: int, repeats: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correct, actual and predicted examples of each class: all that the scores need of a confusion matrix.

    Args:
        repeats: how often each example counts, shape (resamples, examples).

    Returns:
        Three arrays of shape (resamples, classes).
    """

    def count(labels: np.ndarray, included: np.ndarray | int = 1) -> np.ndarray:
        return np.stack([np.bincount(labels, weights=row * included, minlength=num_classes) for row in repeats])

    return count(target, target == prediction), count(target), count(prediction)


def from_totals(correct: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy, and precision, recall and F1 by class and as means over classes.

    The precision of a class without predictions is 0. A class without examples does not count in the means, and its recall is
    NaN. The precision and F1 of a class without examples and predictions are NaN.

    Args:
        correct, actual, predicted: numbers of examples by class, shape (..., classes).

    Returns:
        Arrays of shape (...,) for the means, (..., classes) for the scores by class.
    """
    correct = correct.astype(np.float64)
    present = actual > 0
    shares = present / np.maximum(present.sum(axis=-1, keepdims=True), 1)
    scores = {
        "precision": correct / np.maximum(predicted, 1),
        "recall": correct / np.maximum(actual, 1),
        "f1": 2 * correct / np.maximum(actual + predicted, 1),
    }
    means = {f"{name}_macro": (score * shares).sum(axis=-1) for name, score in scores.items()}
    return {
        "accuracy": correct.sum(axis=-1) / np.where(total := actual.sum(axis=-1), total, np.nan),
        "balanced_accuracy": means["recall_macro"],
        **means,
        "precision": np.where(actual + predicted > 0, scores["precision"], np.nan),
        "recall": np.where(present, scores["recall"], np.nan),
        "f1": np.where(actual + predicted > 0, scores["f1"], np.nan),
    }


def log_losses(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The negative log probability of the true class, by example, in nats. Probabilities are at least 1e-12."""
    return -np.log(np.clip(probability[np.arange(len(target)), target], 1e-12, None))


def in_top_k(target: np.ndarray, probability: np.ndarray, k: int) -> np.ndarray:
    """Whether the true class is among the k most probable, by example, as 0 or 1. The class order breaks ties."""
    top = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return (top == target[:, None]).any(axis=1).astype(np.float64)


def average_precision(target: np.ndarray, score: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """The mean precision over the positive examples, each with its own score as the threshold.

    Args:
        target: flags, shape (examples,).
        repeats: how often each example counts, shape (resamples, examples).

    Returns:
        Shape (resamples,); NaN where no positive example counts.
    """
    order = np.argsort(-score, kind="stable")
    ranked, flags = score[order], target[order].astype(np.int64)
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    values = []
    for row in repeats:  # one by one: all together would be several times as large as `repeats`
        weight = row[order]
        positive = flags * weight
        precision = positive.cumsum()[last] / np.maximum(weight.cumsum()[last], 1)
        values.append((positive * precision).sum() / positive.sum() if positive.any() else np.nan)
    return np.array(values)


def auroc(target: np.ndarray, score: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """The share of pairs of a positive and a negative example in which the positive one has the larger score.

    Equal scores count half.

    Args:
        target: flags, shape (examples,).
        repeats: how often each example counts, shape (resamples, examples).

    Returns:
        Shape (resamples,); NaN where no positive or no negative example counts.
    """
    order = np.argsort(score, kind="stable")
    ranked, flags = score[order], target[order].astype(np.int64)
    first, last = (np.searchsorted(ranked, ranked, side=side) for side in ("left", "right"))
    values = []
    for row in repeats:
        weight = row[order]
        negative = np.concatenate([[0], ((1 - flags) * weight).cumsum()])
        pairs = (flags * weight).sum() * negative[-1]
        values.append((flags * weight * (negative[first] + negative[last])).sum() / (2 * pairs) if pairs else np.nan)
    return np.array(values)


def regression_scores(
    target: np.ndarray, prediction: np.ndarray, total: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """The root of the mean squared error, the mean absolute error, and the share of the variance that is explained.

    Args:
        target, prediction: shape (examples, numbers).
        total: the sum over the examples that count, from (examples, ...) to (resamples, ...).

    Returns:
        Arrays of shape (resamples, numbers). `r2` is NaN where all targets that count are equal.
    """
    error, centred = prediction - target, target - target.mean(axis=0)
    count = total(np.ones((len(target), 1)))
    squares = total(error**2)
    spread = total(centred**2) - total(centred) ** 2 / count
    known = spread > 1e-12 * total(centred**2)  # what is left of equal numbers is rounding
    return {
        "rmse": np.sqrt(squares / count),
        "mae": total(np.abs(error)) / count,
        "r2": np.where(known, 1 - squares / np.where(known, spread, 1), np.nan),
    }


def calibration_bins(target: np.ndarray, probability: np.ndarray, bins: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and count of each bin that is not empty."""
    confidence = probability.max(axis=1)
    correct = probability.argmax(axis=1) == target
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    filled = count > 0
    mean_confidence = np.bincount(index, weights=confidence, minlength=bins)[filled] / count[filled]
    accuracy = np.bincount(index, weights=correct, minlength=bins)[filled] / count[filled]
    return mean_confidence, accuracy, count[filled]


def calibration_error(target: np.ndarray, probability: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599) over bins of equal width."""
    confidence, accuracy, count = calibration_bins(target, probability, bins)
    return float((np.abs(confidence - accuracy) * count).sum() / count.sum())


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """The squared Frechet distance between normal distributions with the moments of two sets.

    Heusel et al. 2017, arXiv:1706.08500. The distance falls with the number of examples, so compare sets of equal size.

    Args:
        one, other: features, shape (examples, features).
    """
    covariance, against = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (one, other))
    values, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.maximum(values, 0)) @ directions.T
    # The product of the two matrices has the eigenvalues of this symmetric one, whose square root is stable.
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ against @ root), 0)).sum()
    means = np.square(one.mean(axis=0) - other.mean(axis=0)).sum()
    return float(means + np.trace(covariance) + np.trace(against) - 2 * cross)


def precision_recall(real: np.ndarray, generated: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """The share of generated examples on the manifold of the real ones, and the reverse.

    The manifold of a set is the union of balls around its points, each with the distance of the third nearest neighbour as
    radius (Kynkaanniemi et al. 2019, arXiv:1904.06991). NaN where a set has too few examples.

    Args:
        real, generated: features, shape (examples, features).
    """
    if min(len(real), len(generated)) <= neighbours:
        return np.nan, np.nan
    return _covered(generated, real, neighbours), _covered(real, generated, neighbours)


def _covered(points: np.ndarray, reference: np.ndarray, neighbours: int) -> float:
    """The share of points that are in a ball of the reference."""
    from sklearn.neighbors import NearestNeighbors  # takes seconds to import, and few evaluations need it

    distances, _ = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(reference).kneighbors(reference)
    radii, inside = distances[:, -1], 0
    for chunk in np.array_split(points, max(1, len(points) // 1000)):
        squares = (chunk**2).sum(axis=1)[:, None] - 2 * chunk @ reference.T + (reference**2).sum(axis=1)
        inside += int((squares <= radii**2).any(axis=1).sum())
    return inside / len(points)
