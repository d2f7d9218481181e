"""Numbers for each example: what the loss is, what adds up, in which units, and the whole training beside a plain loop."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.data import store
from src.data.images import Images
from src.data.normalisation import Normalise
from src.data.raw import Raw
from src.errors import InputError
from src.metrics import regression_scores
from src.protocols import Batch, Mix
from src.tasks.regression import Regression
from tests.data.prepared import InMemory
from tests.nets import FNN_SMALL, fit, metrics, network, optimization, values
from tests.pictures import noise

OUTPUT = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
MEAN, STD = [5.0, 0.0, -1000.0], [2.0, 0.1, 300.0]
TARGET = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor(STD) + torch.tensor(MEAN)
LOSSES = [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(delta=0.5)]


def task(loss: Any = LOSSES[0], **settings: Any) -> Regression:
    return Regression(
        model=nn.Identity(),
        preprocess=nn.Identity(),
        optimization=optimization(),
        **{"loss": loss, "mean": MEAN, "std": STD, **settings},
    )


def batch(target: Tensor = TARGET) -> Batch:
    return Batch(OUTPUT, target, torch.arange(len(target)))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_between_standardised_numbers(loss):
    expected = loss(OUTPUT, (TARGET - torch.tensor(MEAN)) / torch.tensor(STD))
    assert torch.equal(task(loss).step(batch()).loss, expected)


def test_predictions_and_metrics_are_in_the_units_of_the_target():
    predicted = task().predict(OUTPUT)["prediction"]
    assert torch.allclose(predicted, OUTPUT * torch.tensor(STD) + torch.tensor(MEAN))
    whole = metrics(task(), task().step(batch()))
    expected = regression_scores(TARGET.numpy(), predicted.numpy(), lambda values: values.sum(axis=0)[None])
    assert whole == pytest.approx({name: float(values.mean()) for name, values in expected.items()}, rel=1e-5)
    assert metrics(task(), *(task().step(piece) for piece in batch().split(2))) == pytest.approx(whole)


def test_a_number_that_is_the_same_everywhere_has_no_share_in_the_explained_variance():
    target = TARGET.clone()
    target[:, 1] = 0.25
    whole, others = (metrics(task(), task().step(batch(target)))["r2"] for target in (target, TARGET))
    assert np.isfinite(whole)
    assert whole != others


def test_the_target_of_a_mixture_lies_between():
    partner, share = torch.tensor([3, 1, 0, 5, 2, 4]), torch.tensor([0.9, 0.5, 0.0, 1.0, 0.25, 0.7])
    mixed = task().mix(TARGET, Mix(partner, share))
    assert torch.allclose(mixed, share[:, None] * TARGET + (1 - share[:, None]) * TARGET[partner], rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_the_numbers_is_refused():
    with pytest.raises(InputError, match=r"a model with 1 outputs, one for each number of the target; Identity has 3\."):
        task(mean=[0.0], std=[1.0]).step(batch(TARGET[:, :1]))
    with pytest.raises(InputError, match=r"task\.loss: expected the mean loss .*; received a tensor of shape \[6, 3\]"):
        task(nn.MSELoss(reduction="none")).step(batch())


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Callable[[int], Images]:
    """Pictures with so many numbers each, which follow from the pixels: 60 for training, 20 for validation."""

    def make(count: int) -> Images:
        image, _ = noise(100)
        level = image.reshape(100, -1).mean(axis=1, dtype=np.float32)
        target = np.stack([level * 10**k + k for k in range(count)], axis=1)
        raw = Raw({"image": image, "target": target}, target_names=[f"n{k}" for k in range(count)])
        folder = tmp_path_factory.mktemp("numbers") / "prepared"
        split = {"val": 20, "test": 20, "seed": 0}
        prepared = store.prepare(folder, InMemory(raw), name="numbers", split=split, max_duplicates=0.0)
        return Images(prepared=prepared, shape=[1, 8, 8], num_classes=None, batch_size=60)

    return make


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_is_that_of_a_plain_loop(numbers, tmp_path: Path, count, loss):
    data, facts = numbers(count), numbers(count).prepared.facts
    settings = {"loss": loss, "mean": facts["target_mean"], "std": facts["target_std"]}
    learner = network(
        data, model=partial(FNN_SMALL, num_outputs=count), task=partial(Regression, **settings), metric="val/mae", max_epochs=5
    )
    model = FNN_SMALL(num_outputs=count)
    model.load_state_dict(learner.network.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    preprocess = Normalise(mean=data.mean, std=data.std)
    rows = data.rows("train")
    inputs, target = preprocess(torch.from_numpy(data.inputs(rows))), torch.from_numpy(data.targets(rows))
    standardised = (target - target.mean(dim=0)) / target.std(dim=0, correction=0)
    expected = []
    for _ in range(5):
        optimizer.zero_grad()
        value = loss(model(inputs), standardised)
        value.backward()
        optimizer.step()
        expected.append(value.item())
    fit(learner, data, tmp_path)
    assert values(tmp_path, "train/loss") == pytest.approx(expected, rel=1e-5)
    (outputs,) = learner.predict(data, data.rows("val"))
    error = outputs["prediction"] - data.targets(data.rows("val"))
    best = int(np.argmax(values(tmp_path, "val/mae")))  # of which the weights are kept: `network` takes the largest
    assert np.abs(error).mean() == pytest.approx(values(tmp_path, "val/mae")[best], rel=1e-5)
    assert np.sqrt(np.square(error).mean(axis=0)).mean() == pytest.approx(values(tmp_path, "val/rmse")[best], rel=1e-5)
