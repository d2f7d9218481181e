"""One of two classes by one output: what the loss is, what adds up, and that a training learns by it."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Adam

from src.errors import InputError
from src.models.fnn import FNN
from src.protocols import Batch, Mix, Outcome
from src.tasks.binary import Binary
from tests.nets import end, everything, fit, metrics, network, optimization, same, values

LOGITS = torch.randn(6, 1, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1, 1, 0, 1, 0])
SMALL = partial(FNN, input_shape=(1, 8, 8), hidden=[8], num_outputs=1)


def task(**settings: Any) -> Binary:
    common = {"model": nn.Identity(), "preprocess": nn.Identity(), "optimization": optimization(), "num_classes": 2}
    return Binary(**{**common, **settings})


def loss(target: torch.Tensor, **settings: Any) -> torch.Tensor:
    return task(**settings).step(Batch(LOGITS, target, torch.arange(6))).loss


def test_the_loss_by_hand():
    p = LOGITS[:, 0].sigmoid()
    surprise = -torch.where(TARGET == 1, p.log(), (1 - p).log())
    assert torch.allclose(loss(TARGET), surprise.mean())
    assert torch.allclose(loss(TARGET, positive_weight=3.0), (torch.where(TARGET == 1, 3.0, 1.0) * surprise).mean())
    other = -torch.where(TARGET == 0, p.log(), (1 - p).log())
    assert torch.allclose(loss(TARGET, label_smoothing=0.2), (0.9 * surprise + 0.1 * other).mean())


def test_a_positive_weight_does_not_move_the_best_prediction():
    for positive_weight in (1.0, 8.0):
        logit = torch.tensor([0.05, 0.95]).logit()[:, None].requires_grad_()
        smoothed = task(label_smoothing=0.1, positive_weight=positive_weight)
        smoothed.step(Batch(logit, torch.tensor([0, 1]), torch.arange(2))).loss.backward()
        assert logit.grad is not None
        assert logit.grad.abs().max() < 1e-6


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses():
    partner, share = torch.tensor([3, 1, 0, 5, 2, 4]), torch.tensor([0.9, 0.5, 0.0, 1.0, 0.25, 0.7])
    p = LOGITS[:, 0].sigmoid()
    each = [-torch.where(target == 1, p.log(), (1 - p).log()) for target in (TARGET, TARGET[partner])]
    expected = (share * each[0] + (1 - share) * each[1]).mean()
    assert torch.allclose(loss(task().mix(TARGET, Mix(partner, share))), expected)


def test_a_model_with_an_output_for_each_class_is_refused():
    with pytest.raises(InputError, match="expected a model with one output; Identity has 2"):
        task().step(Batch(LOGITS.expand(6, 2), TARGET, torch.arange(6)))


def test_what_it_measures_and_predicts():
    binary = task()
    accuracy = metrics(binary, Outcome(torch.tensor(0.0), LOGITS[:, 0], TARGET))["accuracy"]
    assert accuracy == int(((LOGITS[:, 0] > 0) == TARGET.bool()).sum()) / 6
    probability = binary.predict(LOGITS)["probability"]
    assert torch.allclose(probability[:, 1], LOGITS[:, 0].sigmoid())
    assert torch.allclose(probability.sum(dim=1), torch.ones(6))
    assert torch.equal(binary.scoring(LOGITS), torch.cat([-LOGITS, LOGITS], dim=1))


@pytest.mark.slow
def test_a_training_learns_and_continues_exactly(images, tmp_path):
    data = images(num_classes=2)
    settings = {"model": SMALL, "task": partial(Binary, num_classes=2), "optimizer": partial(Adam, lr=0.01), "max_epochs": 6}
    settings["augmentation"] = everything()
    learner = network(data, **settings)
    fit(learner, data, tmp_path / "whole")
    assert values(tmp_path / "whole", "val/accuracy")[-1] > 0.8
    fit(network(data, **{**settings, "max_epochs": 2}), data, tmp_path / "part")
    fit(network(data, **settings), data, tmp_path / "part")
    assert same(end(tmp_path / "whole"), end(tmp_path / "part"))
    learner.load(tmp_path / "whole" / "last.ckpt")
    rows = data.rows("val")
    probability = np.concatenate([part["probability"] for part in learner.predict(data, rows)])
    accuracy = (probability.argmax(axis=1) == data.targets(rows)).mean()
    assert accuracy == pytest.approx(values(tmp_path / "whole", "val/accuracy")[-1])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_classes": 10}, InputError, r"expected data of two classes; received 10\. .*data\.dataset\.classes=\[0,1\]"),
        ({"label_smoothing": 1.0}, ValueError, r"task\.label_smoothing: expected 0 up to, but not including, 1"),
        ({"positive_weight": 0.0}, ValueError, r"task\.positive_weight: expected a factor above 0; received 0\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        task(**settings)


def test_its_package_gives_both_probabilities(images, tmp_path):
    data = images(num_classes=2)
    learner = network(data, model=SMALL, task=partial(Binary, num_classes=2), max_epochs=1)
    fit(learner, data, tmp_path / "run")
    stored = data.inputs(data.rows("val")).astype(np.float32)
    expected = np.concatenate([part["probability"] for part in learner.predict(data, data.rows("val"))])
    package = learner.package(tmp_path / "model", stored[:4])
    program = torch.export.load(tmp_path / "model" / package["file"]).module()
    assert np.allclose(program(torch.from_numpy(stored)).detach().numpy(), expected, atol=1e-5)
