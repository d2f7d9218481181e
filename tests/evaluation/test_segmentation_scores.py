"""Scores of masks, of classes that are missing from the truth or from the prediction."""

import numpy as np
import pandas as pd
import pytest
import torch

from src.data.masks import Masks
from src.data.raw import IGNORED
from src.evaluation.segmentation import Segmentation
from src.protocols import Outcome
from src.tasks import segmentation
from tests.nets import metrics


def named_classes(*classes: str) -> Masks:
    """Masks without a store; scores need only their classes."""
    data = object.__new__(Masks)
    data.classes = [*classes]
    return data


def test_a_class_that_is_predicted_but_not_true_counts_as_in_training():
    evaluation = Segmentation(data=named_classes("ground", "disc", "square"), headline={"dice_macro": "max"})
    truth = np.array([[[0, 0], [1, 1]]], dtype=np.uint8)
    logits = torch.eye(3)[torch.tensor([[[0, 2], [1, 1]]])].permute(0, 3, 1, 2)
    table = pd.DataFrame({"index": [0], **evaluation.columns({"probability": logits.numpy()}, truth)})
    values, _ = evaluation.scores(table)
    task = object.__new__(segmentation.Segmentation)  # what it measures needs no network
    in_training = metrics(task, Outcome(torch.tensor(0.0), logits, torch.from_numpy(truth)))["dice_macro"]
    assert values["dice_macro"] == pytest.approx(in_training) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_pixels_that_do_not_count_are_in_no_score():
    """A street whose sky is masked: all scores are those of the rest."""
    evaluation = Segmentation(data=named_classes("road", "car"), headline={})
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=(3, 6, 8)).astype(np.uint8)
    probability = rng.dirichlet([1, 1], size=(3, 6, 8)).transpose(0, 3, 1, 2)
    masked = truth.copy()
    masked[:, :2] = IGNORED
    both = [
        pd.DataFrame({"index": range(3), **evaluation.columns({"probability": pixels}, target)})
        for pixels, target in ((probability, masked), (probability[:, :, 2:], truth[:, 2:]))
    ]
    (values, intervals), (expected, expected_intervals) = (evaluation.scores(table) for table in both)
    assert values == pytest.approx(expected, nan_ok=True)
    assert values != pytest.approx(evaluation.scores(pd.DataFrame(evaluation.columns({"probability": probability}, truth)))[0])
    assert all(np.allclose(intervals[name], expected_intervals[name], equal_nan=True) for name in intervals)
    assert both[0]["outside_road"].tolist() == both[1]["outside_road"].tolist()


def test_an_image_without_a_pixel_that_counts():
    evaluation = Segmentation(data=named_classes("road", "car"), headline={})
    truth = np.zeros((2, 4, 4), dtype=np.uint8)
    truth[0] = IGNORED
    probability = np.full((2, 2, 4, 4), [[[0.75]], [[0.25]]], dtype=np.float32)
    table = pd.DataFrame({"index": [0, 1], **evaluation.columns({"probability": probability}, truth)})
    values = evaluation.scores(table)[0]
    assert values["accuracy"] == 1
    assert values["log_loss"] == pytest.approx(-np.log(0.75))


def test_a_class_that_is_neither_true_nor_predicted_has_no_score():
    evaluation = Segmentation(data=named_classes("a", "b", "c"), headline={})
    truth = np.zeros((1, 4, 4), dtype=np.uint8)
    truth[:, 1:] = 1
    probability = np.zeros((1, 3, 4, 4), dtype=np.float32)
    probability[:, 1] = 1
    table = pd.DataFrame(evaluation.columns({"probability": probability}, truth)).assign(index=[0])
    values, intervals = evaluation.scores(table)
    assert values["dice/a"] == 0
    assert all(np.isnan(values[f"{kind}/c"]) for kind in ("dice", "iou", "precision", "recall"))
    assert np.isnan(intervals["iou/c"]).all()
    assert values["dice_macro"] == pytest.approx(values["dice/b"] / 2)
