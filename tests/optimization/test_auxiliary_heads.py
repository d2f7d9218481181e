"""Auxiliary heads in the loss of every task of classes."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from src.errors import InputError
from src.protocols import Batch, Heads
from src.tasks.binary import Binary
from src.tasks.classification import Classification
from src.tasks.multilabel import MultiLabel
from tests.nets import optimization

MAIN, OTHER = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
COMMON = {"preprocess": nn.Identity(), "optimization": optimization()}


class Several(nn.Module):
    """Two auxiliary heads, whose logits are constants and the input."""

    def forward(self, x: torch.Tensor) -> Heads:
        return Heads(x, ((OTHER[:, : x.shape[1]], 0.3), (x, 0.5)))


@pytest.mark.parametrize(
    ("task", "outputs", "target"),
    [
        (Classification, 3, torch.tensor([0, 1, 2, 0, 1, 2])),
        (partial(Binary, num_classes=2), 1, torch.tensor([0, 1, 1, 0, 1, 0])),
        (MultiLabel, 3, torch.randint(2, (6, 3), generator=torch.Generator().manual_seed(1))),
    ],
    ids=["classification", "binary", "multilabel"],
)
def test_their_losses_are_added_by_their_weights(task: Any, outputs: int, target: torch.Tensor):
    plain = task(model=nn.Identity(), **COMMON)
    one, other = (plain.step(Batch(logits[:, :outputs], target, torch.arange(6))) for logits in (MAIN, OTHER))
    several = task(model=Several(), **COMMON).step(Batch(MAIN[:, :outputs], target, torch.arange(6)))
    assert torch.allclose(several.loss, 1.5 * one.loss + 0.3 * other.loss)
    assert torch.equal(several.prediction, one.prediction)


def test_a_model_without_logits_is_refused():
    task = Classification(model=nn.Identity(), **COMMON)
    with pytest.raises(InputError, match="expected a model that gives logits; this one gives tuple"):
        task.step(Batch((MAIN,), torch.zeros(6), torch.arange(6)))
