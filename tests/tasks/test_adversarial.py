"""Two networks that learn against each other, one after the other."""

from collections.abc import Collection
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch.optim import Adam

from src.errors import InputError, RunFailed
from src.models.dcgan import DCGAN
from src.optimization.averaging import EMA
from src.optimization.divergence import Skip
from src.protocols import Batch
from src.tasks.adversarial import Adversarial, Hinge, Loss, NonSaturating
from src.training.callbacks.freezing import Freezing
from src.training.callbacks.snapshots import Snapshots
from tests.nets import end, fit, network, points, same, values

SMALL = partial(DCGAN, input_shape=(1, 8, 8), latent_size=4, width=3)
SETTINGS = {"model": SMALL, "metric": "val/steps", "optimizer": partial(Adam, lr=2e-3, betas=(0.5, 0.999), fused=True)}


@pytest.fixture
def pair(images):
    """Makes a task, and a batch of six examples."""

    def make(loss: Any) -> tuple[Adversarial, Batch]:
        data = images()
        task = network(data, task=partial(Adversarial, loss=loss), **SETTINGS).task
        x = task.preprocess(torch.from_numpy(data.inputs(data.rows("train")[:6])))
        return task.eval(), Batch(x, torch.zeros(6), torch.arange(6))

    return make


@pytest.mark.parametrize("loss", [Hinge(), NonSaturating()])
def test_each_update_has_the_loss_of_one_network(pair, loss):
    task, batch = pair(loss)
    losses = task.step(batch).target
    for part, expected in zip(task.parts, losses, strict=True):
        own = [parameter for name, parameter in task.named_parameters() if name.startswith(part)]
        actual = task.part_loss(part, batch)
        assert torch.allclose(actual, expected)
        gradients = torch.autograd.grad(actual, own)
        for one, other in zip(gradients, torch.autograd.grad(expected, own, retain_graph=True), strict=True):
            assert torch.allclose(one, other, atol=1e-7)
        assert all(gradient.abs().sum() > 0 for gradient in gradients if gradient.ndim > 1)
    assert float(task.step(batch).loss.detach()) == pytest.approx(float(losses.sum().detach()))


class Recording(Adversarial):
    """Records the weights before each update."""

    def __init__(self, **common: Any):
        super().__init__(**common)
        self.seen: list[tuple[str, dict[str, Tensor]]] = []

    def part_loss(self, part: str, batch: Batch) -> Tensor:
        self.seen.append((part, {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}))
        return super().part_loss(part, batch)


class Listening(Callback):
    """A callback with a hook, for which Lightning's own calls are needed."""

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Nothing."""


def updated(weights: dict[str, Tensor], before: dict[str, Tensor]) -> set[str]:
    """The networks that were updated. Either all parameters of a network have changed, or none."""
    moved = {name: not torch.equal(weights[name], before[name]) for name in weights}
    networks = {name.partition(".")[0] for name in weights}
    shares = {network: {flag for name, flag in moved.items() if name.startswith(network)} for network in networks}
    assert all(len(flags) == 1 for flags in shares.values())
    return {network for network, flags in shares.items() if flags == {True}}


SETTINGS_OF_STEPS = [
    {},
    {"gradient_clip_val": 0.1},
    {"accumulate_grad_batches": 2, "steps_per_call": 4},
    {"divergence": Skip(limit=2)},
]


@pytest.mark.parametrize("callbacks", [list, lambda: [Listening()]], ids=["direct", "lightning"])
@pytest.mark.parametrize("settings", SETTINGS_OF_STEPS, ids=["plain", "clipped", "accumulated", "guarded"])
def test_in_each_step_the_discriminator_learns_first_and_then_the_generator(images, tmp_path, settings, callbacks):
    data = images()
    task = partial(Recording, loss=NonSaturating())
    learner = network(data, task=task, max_epochs=None, max_steps=3, callbacks=callbacks, **SETTINGS, **settings)
    assert fit(learner, data, tmp_path / "run").steps == 3
    together = settings.get("accumulate_grad_batches", 1)
    seen = learner.task.seen[::together]
    assert [part for part, _ in seen] == [*Adversarial.parts] * 3
    for (part, before), (_, after) in pairwise(seen):
        assert updated(after, before) == {part.removeprefix("model.")}
    state = end(tmp_path / "run")
    assert state["global_step"] == 3
    assert {int(actual["step"]) for actual in state["optimizer_states"][0]["state"].values()} == {3}
    assert len(values(tmp_path / "run", "train/loss")) == 3
    assert all(parameter.requires_grad for parameter in learner.task.parameters())


class Spoilt(Adversarial):
    """The loss of one part is not a number in some steps."""

    def __init__(self, *, part: str, steps: Collection[int], **common: Any):
        super().__init__(**common)
        self.part, self.steps = part, steps

    def part_loss(self, part: str, batch: Batch) -> Tensor:
        loss = super().part_loss(part, batch)
        return loss * torch.nan if part == self.part and self.global_step + 1 in self.steps else loss


@pytest.mark.parametrize(("part", "updates"), [("model.discriminator", (6, 6)), ("model.generator", (8, 6))])
def test_a_skipped_update_skips_the_later_ones_of_its_step_and_counts_once(images, tmp_path, part, updates):
    data = images()
    spoilt = partial(Spoilt, loss=Hinge(), part=part, steps={3, 4})
    learner = network(data, task=spoilt, max_epochs=1, divergence=Skip(limit=3), **SETTINGS)
    assert fit(learner, data, tmp_path / "run").steps == 8
    assert values(tmp_path / "run", "train/skipped")[-1] == 2
    states = end(tmp_path / "run")["optimizer_states"][0]["state"]
    names = [name for name, _ in learner.task.named_parameters()]
    for part_, expected in zip(Adversarial.parts, updates, strict=True):
        assert {int(states[index]["step"]) for index, name in enumerate(names) if name.startswith(part_)} == {expected}
    learner = network(data, task=spoilt, max_epochs=1, divergence=Skip(limit=2), **SETTINGS)
    with pytest.raises(RunFailed, match="2 of them in a row"):
        fit(learner, data, tmp_path / "ended")


def test_a_loss_that_is_no_number_in_one_update_ends_the_run(images, tmp_path):
    data = images()
    spoilt = partial(Spoilt, loss=Hinge(), part="model.generator", steps={5})
    with pytest.raises(RunFailed, match="loss is nan at step 5"):
        fit(network(data, task=spoilt, max_epochs=1, **SETTINGS), data, tmp_path / "run")


def test_each_update_uses_micro_batches_where_memory_is_short(images, tmp_path):
    """Memory is short for more than eight examples of the discriminator, and all later updates use micro-batches of eight."""
    data = images()

    class Short(Adversarial):
        def part_loss(self, part: str, batch: Batch) -> Tensor:
            if len(batch.row) > 8:
                raise torch.OutOfMemoryError("no memory")
            return super().part_loss(part, batch)

    learner = network(data, task=partial(Short, loss=Hinge()), max_epochs=1, auto_micro_batch=True, **SETTINGS)
    assert fit(learner, data, tmp_path / "run").steps == 8
    assert values(tmp_path / "run", "train/micro_batch") == [8]


def test_the_losses_of_their_papers():
    real, generated = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    loss: Loss = Hinge()
    assert float(loss.discriminator(real, generated)) == pytest.approx(0.25 + 0.5)
    assert float(loss.generator(generated)) == pytest.approx(1.5)
    loss = NonSaturating()
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.ones(2)) + cross_entropy(generated, torch.zeros(2))
    assert float(loss.discriminator(real, generated)) == pytest.approx(float(expected))
    assert float(loss.generator(generated)) == pytest.approx(float(cross_entropy(generated, torch.ones(2))))


@pytest.mark.slow
@pytest.mark.parametrize("averaging", [None, EMA(decay=0.8)], ids=["trained", "averaged"])
def test_it_learns_the_brightness_and_continues_exactly(images, tmp_path, averaging):
    data = images()
    settings = {"task": partial(Adversarial, loss=Hinge()), "averaging": averaging, "steps_per_call": 3, **SETTINGS}
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
    latents = np.random.default_rng(0).standard_normal((200, 4), dtype=np.float32)
    before, after = (abs(float(each.generate(latents).mean()) - real) for each in (fresh, learner))
    assert after < before


@pytest.mark.slow
def test_its_package_predicts_what_is_real(images, tmp_path):
    data = images()
    learner = network(data, task=partial(Adversarial, loss=Hinge()), max_epochs=1, **SETTINGS)
    fit(learner, data, tmp_path / "run")
    stored = data.inputs(data.rows("val")).astype(np.float32)
    expected = np.concatenate([part["realness"] for part in learner.predict(data, data.rows("val"))])
    package = learner.package(tmp_path / "model", stored[:4])
    program = torch.export.load(tmp_path / "model" / package["file"]).module()
    assert np.allclose(program(torch.from_numpy(stored)).detach().numpy(), expected, atol=1e-5)


@pytest.mark.slow
def test_snapshots_are_drawn_after_every_so_many_epochs(images, tmp_path):
    data = images()
    callbacks = partial(list, [Snapshots(every=2)])
    for name, watched in (("run", callbacks), ("without", list)):
        learner = network(data, task=partial(Adversarial, loss=Hinge()), max_epochs=5, callbacks=watched, **SETTINGS)
        fit(learner, data, tmp_path / name)
    assert same(end(tmp_path / "run")["state_dict"], end(tmp_path / "without")["state_dict"])
    drawn = sorted((tmp_path / "run/figures/training").glob("*.png"))
    assert [path.stem for path in drawn] == [f"samples_epoch_{epoch:04d}" for epoch in (1, 2, 4)]
    assert len({path.read_bytes() for path in drawn}) == 3
    with pytest.raises(ValueError, match="every: expected 1 or more epochs"):
        Snapshots(every=0)


def test_snapshots_of_a_task_without_samples_are_refused(images):
    with pytest.raises(
        InputError, match=r"callbacks=snapshots: expected a task that makes examples .*; Classification does not"
    ):
        network(data := images(), callbacks=lambda: [Snapshots(every=1)]).check(data)


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_a_frozen_network_is_not_updated(images, tmp_path, part):
    data = images()
    callbacks = partial(list, [Freezing(parts=[part], until=1)])
    settings = {"task": partial(Adversarial, loss=Hinge()), "callbacks": callbacks, **SETTINGS}
    learner = network(data, max_epochs=1, **settings)
    before = {name: tensor.clone() for name, tensor in learner.task.model.named_parameters()}
    actual = fit(learner, data, tmp_path / "run")
    assert actual.steps == 8
    state = end(tmp_path / "run")["state_dict"]
    for name, tensor in before.items():
        if name.endswith("weight") or name.startswith(part):  # a bias may stay where it is by the loss
            assert torch.equal(state[f"model.{name}"], tensor) == name.startswith(part), name
    further = network(data, max_epochs=2, **{**settings, "callbacks": partial(list, [Freezing(parts=[part], until=1)])})
    assert fit(further, data, tmp_path / "run").steps == 16
    moved = end(tmp_path / "run")["state_dict"]
    assert not any(torch.equal(moved[f"model.{name}"], tensor) for name, tensor in before.items() if name.endswith("0.weight"))
