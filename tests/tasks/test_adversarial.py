"""Two networks that learn against each other in one step."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.optim import Adam

from src.callbacks.snapshots import Snapshots
from src.models.dcgan import DCGAN
from src.protocols import Batch
from src.tasks.adversarial import Adversarial, hinge, non_saturating
from src.tasks.averaging import EMA
from tests.nets import end, fit, network, points, same, values

SMALL = partial(DCGAN, input_shape=(1, 8, 8), code=4, width=3)
SETTINGS = {"model": SMALL, "metric": "val/steps", "optimizer": partial(Adam, lr=2e-3, betas=(0.5, 0.999), fused=True)}


@pytest.mark.parametrize("loss", [hinge, non_saturating])
def test_each_network_learns_by_its_own_loss_alone(images, loss):
    data = images()
    task = network(data, task=partial(Adversarial, loss=loss), **SETTINGS).task.eval()
    x = task.preprocess(torch.from_numpy(data.inputs(data.rows("train")[:6])))
    outcome = task.step(Batch(x, torch.zeros(6), torch.arange(6)))
    discriminator, generator = outcome.target
    both = dict(task.model.named_parameters())
    found = torch.autograd.grad(outcome.loss, list(both.values()), retain_graph=True)
    own = [discriminator if name.startswith("discriminator") else generator for name in both]
    for part, name, parameter, gradient in zip(own, both, both.values(), found, strict=True):
        assert torch.allclose(torch.autograd.grad(part, parameter, retain_graph=True)[0], gradient, atol=1e-7), name
    assert all(parameter.requires_grad for parameter in task.model.parameters())
    assert float(outcome.loss.detach()) == pytest.approx(float((discriminator + generator).detach()))


def test_the_losses_of_their_papers():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    discriminator, generator = hinge(real, fake, fake)
    assert (float(discriminator), float(generator)) == (pytest.approx(0.25 + 0.5), pytest.approx(1.5))
    discriminator, generator = non_saturating(real, fake, fake)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.ones(2)) + cross_entropy(fake, torch.zeros(2))
    assert float(discriminator) == pytest.approx(float(expected))
    assert float(generator) == pytest.approx(float(cross_entropy(fake, torch.ones(2))))


@pytest.mark.parametrize("averaging", [None, EMA(decay=0.8)], ids=["trained", "averaged"])
def test_it_learns_what_is_bright_and_goes_on_exactly(images, tmp_path, averaging):
    data = images()
    settings = {"task": partial(Adversarial, loss=hinge), "averaging": averaging, "steps_per_call": 3, **SETTINGS}
    ends, seen = [], []
    for name, parts in (("whole", [6]), ("parts", [2, 6])):
        for epochs in parts:
            learner = network(data, max_epochs=epochs, **settings)
            result = fit(learner, data, tmp_path / name)
        assert result.best_epoch == 6  # the last one
        ends.append(end(tmp_path / name)["state_dict"])
        seen.append(points(tmp_path / name))
    assert same(*ends)
    assert {key: value for key, (_, value) in seen[0].items()} == {key: value for key, (_, value) in seen[1].items()}
    assert values(tmp_path / "whole", "val/steps") == [8.0 * epoch for epoch in range(1, 7)]
    fresh = network(data, **settings)
    real = float(data.inputs(data.rows("train")).mean() / 255)
    codes = np.random.default_rng(0).standard_normal((200, 4), dtype=np.float32)
    before, after = (abs(float(made.generate(codes).mean()) - real) for made in (fresh, learner))
    assert after < before


def test_its_package_tells_real_from_made(images, tmp_path):
    data = images()
    learner = network(data, task=partial(Adversarial, loss=hinge), max_epochs=1, **SETTINGS)
    fit(learner, data, tmp_path / "run")
    stored = data.inputs(data.rows("val")).astype(np.float32)
    expected = np.concatenate([part["realness"] for part in learner.predict(data, data.rows("val"))])
    package = learner.package(tmp_path / "model", stored[:4])
    program = torch.export.load(tmp_path / "model" / package["file"]).module()
    assert np.allclose(program(torch.from_numpy(stored)).detach().numpy(), expected, atol=1e-5)


def test_snapshots_are_drawn_after_every_so_many_epochs(images, tmp_path):
    data = images()
    callbacks = partial(list, [Snapshots(every=2)])
    for name, watched in (("run", callbacks), ("unwatched", list)):
        learner = network(data, task=partial(Adversarial, loss=hinge), max_epochs=5, callbacks=watched, **SETTINGS)
        fit(learner, data, tmp_path / name)
    assert same(end(tmp_path / "run")["state_dict"], end(tmp_path / "unwatched")["state_dict"])
    drawn = sorted((tmp_path / "run/figures").glob("*.png"))
    assert [path.stem for path in drawn] == [f"samples_epoch_{epoch:04d}" for epoch in (1, 2, 4)]
    assert len({path.read_bytes() for path in drawn}) == 3
    with pytest.raises(ValueError, match="every: expected 1 or more epochs"):
        Snapshots(every=0)
