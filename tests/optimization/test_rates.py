"""Parts of a network that learn at rates of their own, under any schedule."""

from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from src.errors import InputError
from tests.nets import CNN_SMALL, end, fit, network, same, values

RATES = {"features": 0.1, "features.4": 0.01}


def make_learner(data, *, rates=None, **settings):
    return network(data, **{"model": CNN_SMALL, "rates": rates, "max_epochs": 1, **settings})


def moved(data, folder, **settings) -> dict[str, torch.Tensor]:
    """How far one step moves each parameter."""
    learner = make_learner(data, optimizer=partial(SGD, lr=0.5), max_steps=1, **settings)
    before = {name: parameter.detach().clone() for name, parameter in learner.task.named_parameters()}
    fit(learner, data, folder)
    after = end(folder)["state_dict"]
    return {name: after[name] - tensor for name, tensor in before.items()}


@pytest.mark.parametrize("scheduler", [None, partial(OneCycleLR, max_lr=0.5)], ids=["constant", "one that sets all rates"])
def test_a_step_is_shorter_by_the_factor(images, tmp_path, scheduler):
    data = images()
    plain, rated = (
        moved(data, tmp_path / "plain", scheduler=scheduler),
        moved(data, tmp_path / "rated", scheduler=scheduler, rates=RATES),
    )
    for name, step in plain.items():
        factor = 0.01 if name.startswith("model.features.4") else 0.1 if name.startswith("model.features") else 1.0
        assert rated[name].numpy() == pytest.approx(factor * step.numpy(), rel=1e-3, abs=1e-7), name


def test_the_logged_rate_is_that_of_the_other_parts(images, tmp_path):
    data = images()
    settings = {"optimizer": partial(SGD, lr=0.5), "scheduler": partial(StepLR, step_size=1, gamma=0.5), "max_epochs": 3}
    fit(make_learner(data, rates=RATES, **settings), data, tmp_path / "run")
    assert values(tmp_path / "run", "train/lr") == pytest.approx([0.5] * 8 + [0.25] * 8 + [0.125] * 8)


@pytest.mark.parametrize("optimizer", [partial(Adam, lr=0.01, fused=True), partial(SGD, lr=0.1, momentum=0.9)])
def test_it_continues_exactly(images, tmp_path, optimizer):
    data = images()
    settings = {"rates": RATES, "optimizer": optimizer}
    fit(make_learner(data, max_epochs=3, **settings), data, tmp_path / "whole")
    fit(make_learner(data, max_epochs=1, **settings), data, tmp_path / "first")
    fit(make_learner(data, max_epochs=3, **settings), data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    assert same(end(tmp_path / "further"), end(tmp_path / "whole"))
    assert len(end(tmp_path / "whole")["optimizer_states"][0]["param_groups"]) == 3


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"feature": 0.1}, r"task\.rates: expected .* parts of features, classifier; received feature"),
        ({"features": 0.0}, r"task\.rates: expected factors above 0; received .* callbacks=freeze"),
    ],
)
def test_rates_out_of_range_are_refused(images, rates, expected):
    with pytest.raises(InputError, match=expected):
        make_learner(images(), rates=rates)
