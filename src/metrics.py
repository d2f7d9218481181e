"""Metrics as pure functions of arrays, over many confusion matrices at once where a bootstrap asks for them."""

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
    return from_totals(np.diagonal(counts, axis1=-2, axis2=-1), true=counts.sum(axis=-1), said=counts.sum(axis=-2))


def totals(
    target: np.ndarray, prediction: np.ndarray, num_classes: int, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many examples of each class are right, there and predicted: of a resample's confusion, all that scores need.

    Args:
        drawn: how often each example counts, shape (resamples, examples).

    Returns:
        Each of shape (resamples, classes).
    """

    def counted(labels: np.ndarray, which: np.ndarray | int = 1) -> np.ndarray:
        return np.stack([np.bincount(labels, weights=row * which, minlength=num_classes) for row in drawn])

    return counted(target, target == prediction), counted(target), counted(prediction)


def from_totals(right: np.ndarray, true: np.ndarray, said: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy, and precision, recall and F1 by class and as their mean over classes.

    A class without predictions has precision 0. One without examples is left out of the means, and has no recall; one that is
    not predicted either has no precision and no F1: these are no numbers.

    Args:
        right, true, said: how many examples of each class are right, there and predicted, shape (..., classes).

    Returns:
        Arrays of shape (...,) for the means, (..., classes) for those by class.
    """
    right = right.astype(np.float64)
    present = true > 0
    shares = present / np.maximum(present.sum(axis=-1, keepdims=True), 1)
    scores = {
        "precision": right / np.maximum(said, 1),
        "recall": right / np.maximum(true, 1),
        "f1": 2 * right / np.maximum(true + said, 1),
    }
    means = {f"{name}_macro": (score * shares).sum(axis=-1) for name, score in scores.items()}
    return {
        "accuracy": right.sum(axis=-1) / true.sum(axis=-1),
        "balanced_accuracy": means["recall_macro"],
        **means,
        "precision": np.where(true + said > 0, scores["precision"], np.nan),
        "recall": np.where(present, scores["recall"], np.nan),
        "f1": np.where(true + said > 0, scores["f1"], np.nan),
    }


def log_losses(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Negative log probability of the right class, by example, in nats; probabilities are kept from 0 by 1e-12."""
    return -np.log(np.clip(probability[np.arange(len(target)), target], 1e-12, None))


def in_top_k(target: np.ndarray, probability: np.ndarray, k: int) -> np.ndarray:
    """Whether the right class is among the k most probable, by example, as 0 or 1; ties are broken by order."""
    top = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return (top == target[:, None]).any(axis=1).astype(np.float64)


def average_precision(target: np.ndarray, score: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean precision over the examples of a label, each at its own score as the threshold; equal scores share one.

    Args:
        target: flags, shape (examples,).
        drawn: how often each example counts, shape (resamples, examples).

    Returns:
        Shape (resamples,); not a number where no example of the label counts.
    """
    order = np.argsort(-score, kind="stable")
    ranked, flags = score[order], target[order].astype(np.int64)
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    found = []
    for row in drawn:  # one by one: all together would be several times as large as `drawn`
        weight = row[order]
        of_label = flags * weight
        precision = of_label.cumsum()[last] / np.maximum(weight.cumsum()[last], 1)
        found.append((of_label * precision).sum() / of_label.sum() if of_label.any() else np.nan)
    return np.array(found)


def auroc(target: np.ndarray, score: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """How often an example of the label has the larger score than one without it; equal scores count half.

    Args:
        target: flags, shape (examples,).
        drawn: how often each example counts, shape (resamples, examples).

    Returns:
        Shape (resamples,); not a number where only one of the two counts.
    """
    order = np.argsort(score, kind="stable")
    ranked, flags = score[order], target[order].astype(np.int64)
    first, last = (np.searchsorted(ranked, ranked, side=side) for side in ("left", "right"))
    found = []
    for row in drawn:
        weight = row[order]
        without = np.concatenate([[0], ((1 - flags) * weight).cumsum()])
        pairs = (flags * weight).sum() * without[-1]
        found.append((flags * weight * (without[first] + without[last])).sum() / (2 * pairs) if pairs else np.nan)
    return np.array(found)


def calibration_bins(target: np.ndarray, probability: np.ndarray, bins: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean stated probability, share that is right, and count, for each bin that is not empty."""
    sure = probability.max(axis=1)
    right = probability.argmax(axis=1) == target
    place = np.minimum((sure * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    stated = np.bincount(place, weights=sure, minlength=bins)[filled] / count[filled]
    correct = np.bincount(place, weights=right, minlength=bins)[filled] / count[filled]
    return stated, correct, count[filled]


def calibration_error(target: np.ndarray, probability: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599) over equally wide bins."""
    stated, correct, count = calibration_bins(target, probability, bins)
    return float((np.abs(stated - correct) * count).sum() / count.sum())


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared distance between two sets of features as normal distributions (Heusel et al. 2017, arXiv:1706.08500).

    Args:
        one, other: shape (examples, features). It shrinks with the number of examples: compare equally many.
    """
    spread, against = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (one, other))
    values, directions = np.linalg.eigh(spread)
    root = directions * np.sqrt(np.maximum(values, 0)) @ directions.T
    # The product of the two matrices has the eigenvalues of this symmetric one, whose square root is stable.
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ against @ root), 0)).sum()
    apart = np.square(one.mean(axis=0) - other.mean(axis=0)).sum()
    return float(apart + np.trace(spread) + np.trace(against) - 2 * cross)


def precision_recall(real: np.ndarray, made: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """How much of what was made lies among the real examples, and the reverse (Kynkaanniemi et al. 2019, arXiv:1904.06991).

    A set's manifold is the union of balls around its points, each to its third nearest neighbour. Shapes: (examples, features).
    No numbers where a set has no third neighbour.
    """
    if min(len(real), len(made)) <= neighbours:
        return np.nan, np.nan
    return _covered(made, real, neighbours), _covered(real, made, neighbours)


def _covered(points: np.ndarray, reference: np.ndarray, neighbours: int) -> float:
    """The share of points that lie in a ball of the reference."""
    from sklearn.neighbors import NearestNeighbors  # seconds of import, which few evaluations need

    found, _ = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(reference).kneighbors(reference)
    radii, inside = found[:, -1], 0
    for chunk in np.array_split(points, max(1, len(points) // 1000)):
        squares = (chunk**2).sum(axis=1)[:, None] - 2 * chunk @ reference.T + (reference**2).sum(axis=1)
        inside += int((squares <= radii**2).any(axis=1).sum())
    return inside / len(points)
