"""Losses, compared with torch's own and with values by hand."""

import re

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from src import losses


def example(*shape: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits and classes."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape[0], classes, *shape[1:], generator=generator)
    return logits, torch.randint(classes, shape, generator=generator)


def one_hot_mask(target: torch.Tensor, classes: int = 3) -> torch.Tensor:
    return one_hot(target, classes).movedim(-1, 1).bool()


def test_cross_entropy_is_torchs():
    logits, target = example(4, 6, 5)
    loss = losses.pixel_cross_entropy(logits.log_softmax(dim=1), one_hot_mask(target))
    expected = cross_entropy(logits, target, reduction="none").mean(dim=(1, 2))
    assert torch.allclose(loss, expected)


def test_a_factor_for_each_class():
    logits, target = example(4, 6, 5)
    weight = torch.tensor([2.0, 0.0, 0.5])
    loss = losses.pixel_cross_entropy(logits.log_softmax(dim=1), one_hot_mask(target), weight)
    expected = cross_entropy(logits, target, weight=weight, reduction="none").mean(dim=(1, 2))
    assert torch.allclose(loss, expected)


@pytest.mark.parametrize("factors", [[], [1.0, -1.0]])
def test_impossible_factors_are_refused(factors):
    with pytest.raises(
        ValueError, match=rf"task\.class_weights: expected a factor of at least 0 .*; received {re.escape(str(factors))}\."
    ):
        losses.weights(factors, key="task.class_weights")
    assert losses.weights(None, key="task.class_weights") is None


def test_pixels_without_a_class_do_not_count():
    logits, target = example(2, 4, 4)
    truth = one_hot_mask(target)
    truth[:, :, 2:] = False
    loss = losses.pixel_cross_entropy(logits.log_softmax(dim=1), truth)
    assert torch.allclose(loss, losses.pixel_cross_entropy(logits[:, :, :2].log_softmax(dim=1), one_hot_mask(target[:, :2])))
    assert losses.pixel_cross_entropy(logits.log_softmax(dim=1), torch.zeros_like(truth)).tolist() == [0, 0]


def test_dice_of_correct_and_of_wrong_predictions():
    _, target = example(2, 6, 6)
    truth = one_hot_mask(target)
    assert torch.allclose(losses.soft_dice(truth.float(), truth), torch.zeros(2))
    wrong = losses.soft_dice(truth.roll(1, dims=1).float(), truth)
    assert ((wrong > 0.9) & (wrong < 1)).all()


def test_dice_by_hand():
    probability = torch.tensor([[[[0.8, 0.4]], [[0.2, 0.6]]]])
    truth = torch.tensor([[[[True, False]], [[False, True]]]])
    first, second = (2 * 0.8 + 1) / (1.2 + 1 + 1), (2 * 0.6 + 1) / (0.8 + 1 + 1)
    assert losses.soft_dice(probability, truth).item() == pytest.approx(1 - (first + second) / 2)


def test_a_class_that_an_example_lacks_is_correct_where_nothing_is_predicted_as_it():
    truth = torch.zeros(2, 2, 3, 3, dtype=torch.bool)
    truth[:, 0] = True
    probability = truth.float()
    probability[1, :, 0] = torch.tensor([0.0, 1.0]).view(2, 1)
    correct, wrong = losses.soft_dice(probability, truth).tolist()
    assert correct == 0
    assert wrong == pytest.approx(1 - ((2 * 6 + 1) / (6 + 9 + 1) + 1 / (3 + 1)) / 2)
