"""Direct calls of torch give the same weights as Lightning's own, which are used where something hooks into them."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from src.optimization.fused_adam import FusedAdam
from src.training.settings import TrainerSettings
from tests.nets import CNN_SMALL, ONE_CYCLE, end, fit, network, points, same


class Listening(Callback):
    """A callback with hooks, for which Lightning's own calls are needed."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_before_backward(self, *_: Any) -> None:
        self.calls.append("before backward")

    def on_after_backward(self, *_: Any) -> None:
        self.calls.append("after backward")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.calls.append("before step")


OPTIMIZERS = {
    "fused Adam": partial(Adam, lr=0.01, fused=True),
    "fused Adam with weight decay": partial(Adam, lr=0.01, weight_decay=0.1, betas=(0.8, 0.9), fused=True),
    "fused AdamW": partial(AdamW, lr=0.01, weight_decay=0.1, fused=True),
    "fused Adam, amsgrad": partial(Adam, lr=0.01, amsgrad=True, fused=True),
    "Adam": partial(Adam, lr=0.01),
    "fused SGD": partial(SGD, lr=0.05, momentum=0.9, nesterov=True, fused=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("settings", [{}, {"gradient_clip_val": 0.1}, {"accumulate_grad_batches": 3}], ids=str)
def test_direct_steps_and_those_of_lightning_give_the_same(images, tmp_path, optimizer, settings):
    data = images()
    common = {"model": CNN_SMALL, "optimizer": optimizer, "scheduler": ONE_CYCLE, **settings}
    fit(network(data, **common), data, tmp_path / "direct")
    listening = Listening()
    result = fit(network(data, callbacks=lambda: [listening], **common), data, tmp_path / "lightning")
    assert listening.calls.count("before step") == result.steps
    assert listening.calls.count("before backward") == listening.calls.count("after backward") == 16
    one, other = end(tmp_path / "direct"), end(tmp_path / "lightning")
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert same(one[key], other[key]), key
    assert points(tmp_path / "direct") == points(tmp_path / "lightning")


def test_the_kernel_is_used_for_fused_adam_alone(images, tmp_path, monkeypatch):
    calls = []
    step = FusedAdam.step
    monkeypatch.setattr(FusedAdam, "step", lambda self: calls.append(1) or step(self))
    data = images()
    fit(network(data, optimizer=OPTIMIZERS["fused Adam"]), data, tmp_path / "fused")
    assert len(calls) == 15  # the first of 16 steps makes the optimizer's state
    for name in ("fused Adam, amsgrad", "Adam", "fused SGD"):
        fit(network(data, optimizer=OPTIMIZERS[name]), data, tmp_path / name)
    assert len(calls) == 15


class Skipping(nn.Module):
    """A net of which one layer is used in every other call only."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.always, self.sometimes = nn.Flatten(), nn.Linear(64, 3), nn.Linear(64, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        x = self.flatten(x)
        return self.always(x) + (self.sometimes(x) if self.calls % 2 else 0)


def test_a_parameter_without_a_gradient_does_not_change(images, tmp_path):
    data = images()
    for name, callbacks in (("direct", list), ("lightning", lambda: [Listening()])):
        learner = network(data, model=Skipping, optimizer=OPTIMIZERS["fused Adam"], callbacks=callbacks)
        fit(learner, data, tmp_path / name)
    one, other = end(tmp_path / "direct"), end(tmp_path / "lightning")
    assert same(one["state_dict"], other["state_dict"])
    assert same(one["optimizer_states"], other["optimizer_states"])
    steps = {int(state["step"]) for state in one["optimizer_states"][0]["state"].values()}
    assert steps == {8, 16}


def test_an_optimizer_with_hooks_keeps_its_own_step():
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    parameter.grad = torch.ones(3)
    assert FusedAdam.of(optimizer) is None  # no state yet
    optimizer.step()
    assert FusedAdam.of(optimizer) is not None
    optimizer.register_step_post_hook(lambda *_: None)
    assert FusedAdam.of(optimizer) is None


class Watching(Callback):
    """Acts at each batch."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_callback_that_acts_at_batches_gets_each_step(images, tmp_path, capsys, accumulate):
    data = images()
    watching = Watching()
    learner = network(data, callbacks=lambda: [watching], accumulate_grad_batches=accumulate, steps_per_call=16)
    result = fit(learner, data, tmp_path / "steps")
    assert watching.steps == list(range(1, result.steps + 1))
    assert "one optimizer step a call of the loop, because Watching acts at each" in capsys.readouterr().err
    fit(network(data, accumulate_grad_batches=accumulate), data, tmp_path / "blocks")
    assert capsys.readouterr().err == ""
    assert same(end(tmp_path / "steps")["state_dict"], end(tmp_path / "blocks")["state_dict"])


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients_are_clipped_at_their_unscaled_norm(images, tmp_path, monkeypatch, fused):
    """As on a GPU with 16-mixed. An optimizer may unscale the gradients in its step, or leave that to Lightning."""
    make = TrainerSettings.trainer

    def scaling(*arguments: Any, **keywords: Any) -> Trainer:
        trainer = make(*arguments, **keywords)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        return trainer

    monkeypatch.setattr(TrainerSettings, "trainer", scaling)
    data = images()
    learner = network(
        data, model=CNN_SMALL, optimizer=partial(SGD, lr=1.0, fused=fused), gradient_clip_val=0.05, max_steps=1, max_epochs=None
    )
    before = [parameter.detach().clone() for parameter in learner.task.parameters()]
    fit(learner, data, tmp_path / "run")
    after = end(tmp_path / "run")["state_dict"]
    steps = [after[name] - tensor for (name, _), tensor in zip(learner.task.named_parameters(), before, strict=True)]
    assert float(torch.cat([step.flatten() for step in steps]).norm()) == pytest.approx(0.05, rel=1e-2)
