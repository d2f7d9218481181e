"""Several labels for each example: what the loss is, what adds up, and how flags are mixed."""

from typing import Any

import pytest
import torch
from torch import nn

from src.errors import InputError
from src.protocols import Batch, Mix, Outcome
from src.tasks.multilabel import MultiLabel
from tests.nets import metrics, optimization

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
FLAGS = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0]], dtype=torch.uint8)


def task(**settings: Any) -> MultiLabel:
    return MultiLabel(model=nn.Identity(), preprocess=nn.Identity(), optimization=optimization(), **settings)


def loss(flags: torch.Tensor, **settings: Any) -> torch.Tensor:
    return task(**settings).step(Batch(LOGITS, flags, torch.arange(6))).loss


def test_the_loss_by_hand():
    p = LOGITS.sigmoid()
    assert torch.allclose(loss(FLAGS), -torch.where(FLAGS == 1, p.log(), (1 - p).log()).mean())
    weights = [2.0, 0.0, 1.0, 5.0]
    factors = torch.where(FLAGS == 1, torch.tensor(weights), torch.ones(4))
    expected = -(factors * torch.where(FLAGS == 1, p.log(), (1 - p).log())).mean()
    assert torch.allclose(loss(FLAGS, positive_weights=weights), expected)


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses():
    partner, share = torch.tensor([3, 1, 0, 5, 2, 4]), torch.tensor([0.9, 0.5, 0.0, 1.0, 0.25, 0.7])
    mixed = loss(task().mix(FLAGS, Mix(partner, share)))
    p = LOGITS.sigmoid()
    each = [-torch.where(flags == 1, p.log(), (1 - p).log()).mean(dim=1) for flags in (FLAGS, FLAGS[partner])]
    assert torch.allclose(mixed, (share * each[0] + (1 - share) * each[1]).mean())


def test_what_it_measures_adds_up_over_batches():
    multilabel = task()
    whole = metrics(multilabel, Outcome(torch.tensor(0.0), LOGITS, FLAGS))
    parts = [Outcome(torch.tensor(0.0), LOGITS[i : i + 3], FLAGS[i : i + 3]) for i in (0, 3)]
    assert metrics(multilabel, *parts) == whole
    predicted, true = LOGITS > 0, FLAGS.bool()
    assert whole["subset_accuracy"] == pytest.approx(float((predicted == true).all(dim=1).float().mean()))
    scores = 2 * (predicted & true).sum(dim=0) / (predicted.sum(dim=0) + true.sum(dim=0))
    assert whole["f1_macro"] == pytest.approx(float(scores.nanmean()))


def test_a_factor_below_0_is_refused():
    with pytest.raises(ValueError, match=r"task\.positive_weights: expected a factor of at least 0 .*; received \[-1\.0\]"):
        task(positive_weights=[-1.0])


def test_factors_are_as_many_as_the_labels():
    with pytest.raises(InputError, match=r"task\.positive_weights: expected 4 factors, one for each class; received 1"):
        loss(FLAGS, positive_weights=[3.0])
