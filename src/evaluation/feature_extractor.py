"""What generated pictures are worth by the eyes of a classifier that was trained here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from src import metrics
from src.config import assembly
from src.config.assembly import Experiment
from src.data.base import Data
from src.errors import InputError
from src.evaluation import generation
from src.runs.files import read_json
from src.runs.folder import Run


class Pictures(NamedTuple):
    """Pictures that no store holds, as a learner is asked about them."""

    arrays: Mapping[str, np.ndarray]
    batch_size: int = 1


class Judge:
    """A run of a classifier of the same data set; what its last linear layer is given are the features.

    The name of a run's folder is a hash of what decides its weights: a configuration that names it says which they are.

    Args:
        samples: how many generated pictures are compared with as many real ones, at most.
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
            raise InputError(f"evaluation.classifier={folder}: expected a classifier; this run has no test/accuracy.")
        config: Any = OmegaConf.load(self._run.config)
        learned, given = assembly.prepare(config), data.prepared
        if learned.card["content"] != given.card["content"]:
            raise InputError(
                f"evaluation.classifier={folder}: expected a classifier of {given.folder.name}; this one learned "
                f"{learned.folder.name}."
            )

    def scores(self, table: pd.DataFrame, experiment: Experiment) -> dict[str, float]:
        """Distance from the part's examples, beside those of other sets of as many pictures, and shares of classes.

        A normal distribution of pixels has learnt nothing of shapes; training examples are as near as a generator can come.
        """
        judge = assembly.restore(self._run.folder)
        if judge.learner.network is None:
            raise InputError(
                f"evaluation.classifier={self._run.folder}: expected a network, which has features; received "
                f"{type(judge.learner).__name__}."
            )
        count = min(self._samples, len(table), len(experiment.data.rows("train")))  # equally many: the distances depend on it
        rows = np.random.default_rng(0).permutation(table["index"].to_numpy())[:count]
        real, _ = _seen(judge, experiment.data.inputs(rows))
        made, classes = _seen(judge, _stored(generation.drawn(experiment, count)))
        blurred, _ = _seen(judge, _stored(_normal(experiment, count)))
        learnt, _ = _seen(judge, experiment.data.inputs(_some(experiment, count)))
        shares = np.bincount(classes, minlength=len(judge.data.classes)) / len(classes)
        precision, recall = metrics.precision_recall(real, made)
        return {
            "frechet": metrics.frechet_distance(real, made),
            "frechet_of_normal_pixels": metrics.frechet_distance(real, blurred),
            "frechet_of_training_examples": metrics.frechet_distance(real, learnt),
            "precision": precision,
            "recall": recall,
            "smallest_class_share": float(shares.min()),
            **{f"class_share/{name}": float(share) for name, share in zip(judge.data.classes, shares, strict=True)},
            "classifier_accuracy": read_json(self._run.metrics)["test/accuracy"],
        }


def _seen(judge: Experiment, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the last linear layer is given for each picture, and the most probable class."""
    import torch

    assert judge.learner.network is not None
    last = [module for module in judge.learner.network.modules() if isinstance(module, torch.nn.Linear)][-1]
    found: list[np.ndarray] = []
    handle = last.register_forward_pre_hook(lambda _, given: found.append(given[0].flatten(1).float().cpu().numpy()))
    try:
        pile: Any = Pictures({"input": pictures, "target": np.zeros(len(pictures), dtype=np.int64)})
        classes = [part["probability"].argmax(axis=1) for part in judge.learner.predict(pile, np.arange(len(pictures)))]
    finally:
        handle.remove()
    return np.concatenate(found).astype(np.float64), np.concatenate(classes)


def _stored(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1 as they would be stored."""
    return np.round(255 * pixels.clip(0, 1)).astype(np.uint8)


def _normal(experiment: Experiment, count: int) -> np.ndarray:
    """Pictures from a normal distribution with the mean and the covariance of the training part's pixels."""
    data = experiment.data
    rows = _some(experiment, 20_000)
    pixels = data.inputs(rows).reshape(len(rows), -1) / np.float32(255)
    middle = pixels.mean(axis=0)
    rng = np.random.default_rng(experiment.config["seed"])
    weights = rng.standard_normal((count, len(pixels)), dtype=np.float32) / np.float32(np.sqrt(len(pixels) - 1))
    drawn = middle + weights @ (pixels - middle)  # the covariance itself would be a matrix of pixels by pixels
    return drawn.reshape(count, *data.shape)


def _some(experiment: Experiment, count: int) -> np.ndarray:
    """Rows of the training part, so many at most."""
    return np.random.default_rng(experiment.config["seed"]).permutation(experiment.data.rows("train"))[:count]
