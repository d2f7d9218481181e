"""Comparison of generated images with real ones, by the features of a classifier that was trained here."""

from pathlib import Path

import numpy as np
import pandas as pd

from src import metrics
from src.config import assembly, restoring, trust
from src.data.base import Data
from src.data.pictures import Pictures
from src.errors import InputError
from src.evaluation import generation
from src.evaluation.substitute import Substitute
from src.experiment import Experiment
from src.learner import HasNetwork
from src.runs.files import REMEDY, read_json
from src.runs.folder import CONFIG_KEYS, Run

NORMAL = 20_000  # training examples that a normal distribution of pixels is fitted to, at most


class FeatureExtractor:
    """A run of a classifier of the same data set. The features of an image are the input of the classifier's last linear layer.

    The name of a run's folder is a hash of all that decides its weights. So a configuration that names it states the weights.

    Args:
        samples: how many generated images are compared with as many real ones, at most.

    Raises:
        InputError: the folder holds no finished run of a classifier of this data set.
    """

    def __init__(self, folder: str, *, data: Data, samples: int):
        if samples < 2:
            raise ValueError(f"evaluation.samples: expected at least 2; received {samples}.")
        self._run = Run(Path(folder))
        self._samples = samples
        if not (self._run.fitted and self._run.evaluated and self._run.best.is_file()):
            raise InputError(
                f"evaluation.classifier={folder}: expected the folder of a finished run of a classifier; there is none. "
                f"Train one (python -m src.train +experiment=cnn data={data.prepared.card['name']}), or leave it null."
            )
        if "test/accuracy" not in read_json(self._run.metrics):
            raise InputError(
                f"evaluation.classifier={folder}: expected a classifier; this run has no test/accuracy. Name another run."
            )
        config = trust.load(self._run.config, keys=CONFIG_KEYS, remedy=REMEDY)
        learned, own = assembly.prepare(config, file=self._run.config), data.prepared
        if learned.card["content"] != own.card["content"]:
            raise InputError(
                f"evaluation.classifier={folder}: expected a classifier of {own.folder.name}; this one learned "
                f"{learned.folder.name}. Train one on these data."
            )

    def compare(self, experiment: Experiment, table: pd.DataFrame) -> dict[str, float]:
        """The distance of generated images from the split's examples, that of other images, and shares of predicted classes.

        The other images put the distance into proportion. Images with normally distributed pixels know nothing of shapes, and
        training examples are as close as a generator can come.
        """
        classifier = restoring.restore(self._run.folder)
        if not isinstance(classifier.learner, HasNetwork):
            raise InputError(
                f"evaluation.classifier={self._run.folder}: expected a network, which has features; received "
                f"{type(classifier.learner).__name__}. Name another run."
            )
        count = min(self._samples, len(table), len(experiment.data.rows("train")))  # equal, for the distances depend on it
        rows = np.random.default_rng(0).permutation(table["index"].to_numpy())[:count]
        real, _ = _features(classifier, experiment.data.inputs(rows))
        generated, classes = _features(classifier, _stored(generation.sample(experiment, count)))
        normal, _ = _features(classifier, _stored(_normal_pixels(experiment, count)))
        training, _ = _features(classifier, experiment.data.inputs(_training_rows(experiment, count)))
        shares = np.bincount(classes, minlength=len(classifier.data.classes)) / len(classes)
        precision, recall = metrics.precision_recall(real, generated)
        return {
            "frechet": metrics.frechet_distance(real, generated),
            "frechet_of_normal_pixels": metrics.frechet_distance(real, normal),
            "frechet_of_training_examples": metrics.frechet_distance(real, training),
            "precision": precision,
            "recall": recall,
            "smallest_class_share": float(shares.min()),
            **{f"class_share/{name}": float(share) for name, share in zip(classifier.data.classes, shares, strict=True)},
            "classifier_accuracy": read_json(self._run.metrics)["test/accuracy"],
        }


def _features(classifier: Experiment, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The input of the last linear layer for each image, and the most probable class."""
    import torch

    assert isinstance(classifier.learner, HasNetwork)
    network, data = classifier.learner.network, classifier.data
    if not isinstance(data, Pictures):
        raise InputError(f"evaluation.classifier: expected a classifier of pictures; its data are {type(data).__name__}.")
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    features: list[np.ndarray] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].flatten(1).float().cpu().numpy()))
    try:
        other = Substitute(data, np.zeros(len(images), dtype=np.int64), images)  # their targets mean nothing
        classes = [batch["probability"].argmax(axis=1) for batch in classifier.learner.predict(other, other.rows(""))]
    finally:
        handle.remove()
    own = np.concatenate(features)[: len(images)]  # a prediction fills its last forward pass up
    return own.astype(np.float64), np.concatenate(classes)


def _stored(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1 as they would be stored."""
    return np.round(255 * pixels.clip(0, 1)).astype(np.uint8)


def _normal_pixels(experiment: Experiment, count: int) -> np.ndarray:
    """Images from a normal distribution with the mean and the covariance of the training split's pixels."""
    data = experiment.data
    rows = _training_rows(experiment, NORMAL)
    pixels = data.inputs(rows).reshape(len(rows), -1) / np.float32(255)
    middle = pixels.mean(axis=0)
    rng = np.random.default_rng(experiment.config["seed"])
    weights = rng.standard_normal((count, len(pixels)), dtype=np.float32) / np.float32(np.sqrt(len(pixels) - 1))
    drawn = middle + weights @ (pixels - middle)  # the covariance itself would be a matrix of pixels by pixels
    return drawn.reshape(count, *data.shape)


def _training_rows(experiment: Experiment, count: int) -> np.ndarray:
    """Random rows of the training split, so many at most."""
    return np.random.default_rng(experiment.config["seed"]).permutation(experiment.data.rows("train"))[:count]
