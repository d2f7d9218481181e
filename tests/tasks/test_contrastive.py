"""Views of an example, the loss that compares them, and a training by it."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.optim import Adam

from src.data.augmentation import Augmentation
from src.data.mixing import Mixup
from src.data.normalisation import Normalise
from src.errors import InputError
from src.models.encoder import EncoderWithHead
from src.optimization.random_state import random_state
from src.protocols import Batch
from src.tasks.contrastive import Contrastive
from tests.nets import FNN_SMALL, end, everything, fit, metrics, network, optimization, same, values

SMALL = partial(EncoderWithHead, input_shape=(1, 8, 8), hidden=[16], latent_size=6, num_outputs=4)
STEPS = {name: step for name, step in everything()._steps.items() if name not in ("mixup", "cutmix")}
VIEWS = Augmentation(**STEPS)
SETTINGS = {"model": SMALL, "metric": "val/loss", "augmentation": VIEWS, "optimizer": partial(Adam, lr=0.01)}


def task(model: torch.nn.Module | None = None, **settings) -> Contrastive:
    torch.manual_seed(0)
    preprocess = Normalise(mean=np.array([0.3]), std=np.array([0.2]))
    common = {"model": model or SMALL(), "preprocess": preprocess, "optimization": optimization(), "augmentation": VIEWS}
    return Contrastive(**{**common, **settings})


def stored(count: int = 5) -> Batch:
    pixels = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Batch(pixels, torch.zeros(count, dtype=torch.long), torch.arange(count))


@torch.no_grad()
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_that_of_finding_the_other_view_by_the_cosine(temperature):
    contrastive = task(temperature=temperature)
    batch = contrastive.augmented(stored())
    assert batch.input.shape == (5, 2, 1, 8, 8)
    projections = [[contrastive.model(view[None])[0].double() for view in views] for views in batch.input]
    losses = []
    for example, pair in enumerate(projections):
        for own in (0, 1):
            cosines = {
                (number, view): float(torch.cosine_similarity(pair[own], projection, dim=0)) / temperature
                for number, views in enumerate(projections)
                for view, projection in enumerate(views)
                if (number, view) != (example, own)
            }
            losses.append(math.log(sum(map(math.exp, cosines.values()))) - cosines[example, 1 - own])
    assert float(contrastive.step(batch).loss) == pytest.approx(np.mean(losses), rel=1e-4)


@torch.no_grad()
def test_views_that_lie_together_and_apart_from_others_are_matched():
    contrastive = task(torch.nn.Flatten(), temperature=0.01)
    examples = torch.eye(4).view(4, 1, 1, 2, 2)
    outcome = contrastive.step(Batch(examples.expand(4, 2, 1, 2, 2), torch.zeros(4), torch.arange(4)))
    assert float(outcome.loss) == pytest.approx(0, abs=1e-6)
    assert metrics(contrastive, outcome) == {"matched": 1.0}
    one = contrastive.step(Batch(examples[:1].expand(1, 2, 1, 2, 2), torch.zeros(1), torch.arange(1)))
    assert float(one.loss) == 0  # there is no other example


@torch.no_grad()
def test_views_are_compared_in_full_precision():
    contrastive = task(temperature=0.05)
    batch = contrastive.augmented(stored())
    projections = contrastive.model(batch.input.flatten(0, 1))
    contrastive.model.forward = lambda _: projections
    expected = contrastive.step(batch)
    with torch.autocast("cpu", torch.bfloat16):
        outcome = contrastive.step(batch)
    assert outcome.prediction.dtype == torch.float32
    assert torch.equal(outcome.loss, expected.loss)


@torch.no_grad()
def test_a_validation_sees_the_same_views_each_time_and_a_training_others():
    contrastive = task()
    torch.manual_seed(7)
    before = random_state()
    first, second = contrastive.validated(stored()).input, contrastive.validated(stored()).input
    assert torch.equal(first, second)
    assert same(random_state(), before)
    assert not torch.equal(first[:, 0], first[:, 1])
    assert not torch.equal(contrastive.augmented(stored()).input, contrastive.augmented(stored()).input)


@torch.no_grad()
def test_it_predicts_the_latent_before_the_head():
    contrastive = task().eval()
    input = contrastive.preprocess(stored().input)
    assert torch.equal(contrastive.predict(input)["latent"], contrastive.model.encoder(input))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"augmentation": None}, InputError, "expected an augmentation; received none.* augmentation=views"),
        (
            {"optimization": optimization(auto_micro_batch=True)},
            InputError,
            "whose loss is a mean over examples.* smaller data.batch_size",
        ),
        ({"temperature": 0.0}, ValueError, r"task\.temperature: expected a number above 0; received 0\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        task(**settings)


def test_views_of_two_examples_are_refused():
    with pytest.raises(InputError, match="expected steps that keep examples apart; mixup"):
        task(augmentation=Augmentation(mixup=Mixup(alpha=0.2))).augmented(stored())


def test_a_validation_does_not_compare_those_of_a_class_that_follow_one_another(images):
    data, cpu = images(), torch.device("cpu")
    orders = [
        torch.cat([batch.row for block in learner._loaders(data).loader("val", block=1, device=cpu) for batch in block])
        for learner in (network(data, task=Contrastive, **SETTINGS), network(data, task=Contrastive, **SETTINGS), network(data))
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(orders[0].sort().values, orders[2])


def test_a_network_without_an_encoder_is_refused_before_it_is_trained(images):
    data = images()
    learner = network(data, **{**SETTINGS, "model": FNN_SMALL}, task=Contrastive)
    with pytest.raises(InputError, match=r"Contrastive expected a model with encoder; FNN has no encoder\."):
        learner.check(data)
    assert network(data, task=Contrastive, **SETTINGS).check(data).flops


@pytest.mark.slow
def test_a_training_matches_more_views_and_continues_exactly(images, tmp_path):
    data = images()
    ends = []
    for folder, parts in ((tmp_path / "whole", [6]), (tmp_path / "parts", [2, 6])):
        for epochs in parts:
            fit(network(data, task=Contrastive, max_epochs=epochs, **SETTINGS), data, folder)
        ends.append((end(folder)["state_dict"], values(folder, "val/loss"), values(folder, "val/matched")))
    assert same(*ends)
    _, losses, matched = ends[0]
    assert losses[-1] < losses[0]
    assert matched[-1] > matched[0]
