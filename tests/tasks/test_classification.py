"""The loss of classes, of one and of several in shares."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from src.errors import InputError
from src.protocols import Batch, Mix
from src.tasks.classification import Classification
from tests.nets import optimization

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1, 2, 3, 0, 1])
PARTNER = torch.tensor([3, 1, 0, 5, 2, 4])
SHARE = torch.tensor([0.9, 0.5, 0.0, 1.0, 0.25, 0.7])


def task(smoothing: float, **settings: Any) -> Classification:
    return Classification(
        model=nn.Identity(),
        preprocess=nn.Identity(),
        optimization=optimization(),
        label_smoothing=smoothing,
        **settings,
    )


def loss(smoothing: float, target: object, **settings: Any) -> float:
    return float(task(smoothing, **settings).step(Batch(LOGITS, target, torch.arange(6))).loss)


def each(target: Tensor, smoothing: float) -> Tensor:
    return cross_entropy(LOGITS, target, label_smoothing=smoothing, reduction="none")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(smoothing):
    mixed = task(smoothing).mix(TARGET, Mix(PARTNER, SHARE))
    expected = SHARE * each(TARGET, smoothing) + (1 - SHARE) * each(TARGET[PARTNER], smoothing)
    assert loss(smoothing, mixed) == pytest.approx(float(expected.mean()), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixtures_can_be_mixed_again(smoothing):
    again, share = torch.tensor([1, 0, 3, 2, 5, 4]), torch.tensor([0.5, 1.0, 0.3, 0.6, 0.0, 0.2])
    mixed = task(smoothing).mix(task(smoothing).mix(TARGET, Mix(PARTNER, SHARE)), Mix(again, share))
    one_hot = torch.eye(4)[TARGET]
    first = SHARE[:, None] * one_hot + (1 - SHARE[:, None]) * one_hot[PARTNER]
    second = share[:, None] * first + (1 - share[:, None]) * first[again]
    assert torch.allclose(mixed.spread(4), second)
    assert loss(smoothing, mixed) == pytest.approx(float(cross_entropy(LOGITS, second, label_smoothing=smoothing)), rel=1e-6)


def test_a_mixture_of_one_is_the_class():
    whole = task(0.1).mix(TARGET, Mix(PARTNER, torch.ones(6)))
    assert loss(0.1, whole) == pytest.approx(loss(0.1, TARGET), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_factors(smoothing):
    """Torch's own weighted mean is another for each share of a batch, so that it could not be shared out."""
    weights = [2.0, 0.5, 0.0, 1.0]
    expected = (torch.tensor(weights)[TARGET] * each(TARGET, smoothing)).mean()
    assert loss(smoothing, TARGET, class_weights=weights) == pytest.approx(float(expected), rel=1e-6)
    assert loss(smoothing, TARGET, class_weights=[1.0] * 4) == pytest.approx(loss(smoothing, TARGET), rel=1e-6)


@pytest.mark.parametrize("weights", [None, [8.0, 1.0, 0.5, 1.0]])
def test_class_weights_do_not_move_the_best_prediction(weights):
    """With torch's own, the smoothed share of a class grows with its weight (pytorch#104776)."""
    logits = torch.full((4, 4), 0.1 / 4).fill_diagonal_(0.9 + 0.1 / 4).log().requires_grad_()
    task(0.1, class_weights=weights).step(Batch(logits, torch.arange(4), torch.arange(4))).loss.backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_the_focal_loss_by_hand():
    probability = LOGITS.softmax(dim=1)[torch.arange(6), TARGET]
    expected = -((1 - probability) ** 2 * probability.log()).mean()
    assert loss(0.0, TARGET, focus=2.0) == pytest.approx(float(expected), rel=1e-6)


def test_a_focal_loss_of_mixtures_is_that_of_their_shares():
    mixed = task(0.0, focus=2.0).mix(TARGET, Mix(PARTNER, SHARE))
    each = torch.stack([-((1 - p) ** 2) * p.log() for p in LOGITS.softmax(dim=1)])
    shares = SHARE[:, None] * torch.eye(4)[TARGET] + (1 - SHARE[:, None]) * torch.eye(4)[TARGET[PARTNER]]
    assert loss(0.0, mixed, focus=2.0) == pytest.approx(float((shares * each).sum(dim=1).mean()), rel=1e-6)


def test_a_focal_loss_has_a_finite_gradient_at_confident_predictions():
    logits = torch.tensor([[60.0, 0.0, 0.0, 0.0], [-60.0, 0.0, 0.0, 0.0]], requires_grad=True)
    for focus in (0.5, 2.0):
        task(0.0, focus=focus).step(Batch(logits, torch.tensor([0, 0]), torch.arange(2))).loss.backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        logits.grad = None


@pytest.mark.parametrize("settings", [{"focus": -1.0}, {"class_weights": [1.0, -1.0, 0.0, 1.0]}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"task\.(focus|class_weights): expected"):
        task(0.0, **settings)


def test_a_loss_of_the_users_own_takes_the_place_of_cross_entropy():
    own = nn.MultiMarginLoss()
    assert loss(0.0, TARGET, loss=own) == own(LOGITS, TARGET)
    mixed = task(0.0).mix(TARGET, Mix(PARTNER, SHARE))
    assert loss(0.0, mixed, loss=cross_entropy) == pytest.approx(loss(0.0, mixed))
    with pytest.raises(
        InputError, match=r"task\.loss: expected the mean loss of the batch .*; received a tensor of shape \[6\]"
    ):
        loss(0.0, TARGET, loss=nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(ValueError, match=r"task\.loss: expected no label_smoothing.*; received 0\.1, 0\.0 and None"):
        task(0.1, loss=own)
