"""What happens at a loss that is not a number: weights, records, and that an interruption changes nothing."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import OneCycleLR

from src.errors import RunFailed
from src.optimization.divergence import RollBack, RolledBack, Skip
from src.protocols import Batch, Outcome
from src.runs import checkpoints
from src.tasks.classification import Classification
from src.tracking.journal import read
from tests.nets import CNN_SMALL, FNN_SMALL, end, fit, network, points, same, values


class Spoilt(Classification):
    """Its loss is multiplied in some steps of the optimizer, and its input is not a number in others."""

    def __init__(self, *, factors: Mapping[int, float], **common: Any):
        super().__init__(**common)
        self.factors = factors

    def step(self, batch: Batch) -> Outcome:
        factor = self.factors.get(self.trainer.global_step + 1, 1.0) if self.training else 1.0
        if math.isnan(factor):
            batch = batch._replace(input=batch.input * factor)
        outcome = super().step(batch)
        return outcome._replace(loss=outcome.loss * factor)


class Listening(Callback):
    """A callback with a hook, for which Lightning's own calls are needed."""

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Nothing."""


def spoilt(factors: Mapping[int, float]) -> partial:
    return partial(Spoilt, factors=factors)


CYCLE = partial(OneCycleLR, max_lr=0.02, cycle_momentum=False)
OPTIMIZERS = {"sgd": partial(SGD, lr=0.05), "fused adam": partial(Adam, lr=0.01, fused=True)}


@pytest.mark.parametrize("callbacks", [list, lambda: [Listening()]], ids=["direct", "lightning"])
@pytest.mark.parametrize(
    "settings", [{}, {"gradient_clip_val": 0.5}, {"accumulate_grad_batches": 2, "steps_per_call": 4}], ids=str
)
def test_a_skipped_step_does_not_change_the_weights(images, tmp_path, callbacks, settings):
    """Under plain descent it equals a step with a loss of zero. Batch normalisation forgets the skipped input."""
    data = images()
    common = {"model": CNN_SMALL, "scheduler": CYCLE, "callbacks": callbacks, "steps_per_call": 1, **settings}
    skipping = network(data, task=spoilt({1: math.nan, 2: math.inf, 6: math.nan}), divergence=Skip(limit=3), **common)
    result = fit(skipping, data, tmp_path / "skipped")
    fit(network(data, task=spoilt({1: 0.0, 2: 0.0, 6: 0.0}), **common), data, tmp_path / "nothing")
    actual, expected = end(tmp_path / "skipped"), end(tmp_path / "nothing")
    for name, tensor in actual["state_dict"].items():
        if "running" in name:
            assert tensor.isfinite().all()
        elif "tracked" not in name:
            assert torch.equal(tensor, expected["state_dict"][name]), name
    assert actual["global_step"] == result.steps == (8 if "accumulate_grad_batches" in settings else 16)
    assert same(actual["lr_schedulers"], expected["lr_schedulers"])
    assert values(tmp_path / "skipped", "train/skipped")[-1] == 3
    for name in ("train/loss_epoch", "val/loss", "val/accuracy"):
        assert all(map(math.isfinite, values(tmp_path / "skipped", name))), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_size_of_blocks_does_not_change_what_is_skipped(images, tmp_path, optimizer):
    data = images()
    for block in (1, 3, 32):
        learner = network(data, model=CNN_SMALL, optimizer=optimizer, divergence=Skip(limit=2), steps_per_call=block)
        calls = {"count": 0}

        def sometimes(batch: Batch, step=learner.task.step, calls=calls, task=learner.task) -> Outcome:
            calls["count"] += task.training
            outcome = step(batch)
            return outcome._replace(loss=outcome.loss * math.nan) if task.training and calls["count"] in (5, 11) else outcome

        learner.task.step = sometimes
        fit(learner, data, tmp_path / f"{block}")
    assert same(end(tmp_path / "1"), end(tmp_path / "3"))
    assert same(end(tmp_path / "1"), end(tmp_path / "32"))
    assert {values(tmp_path / f"{block}", "train/skipped")[-1] for block in (1, 3, 32)} == {2}


def test_too_many_skipped_updates_in_a_row_end_the_run(images, tmp_path):
    data = images()
    learner = network(data, task=spoilt(dict.fromkeys(range(11, 14), math.nan)), divergence=Skip(limit=3), steps_per_call=1)
    with pytest.raises(RunFailed, match=r"3 updates were skipped up to step 13, in epoch 2, 3 of them in a row"):
        fit(learner, data, tmp_path / "run")
    assert all(tensor.isfinite().all() for tensor in end(tmp_path / "run")["state_dict"].values())
    learner = network(data, task=spoilt({3: math.nan, 4: math.nan, 6: math.nan}), divergence=Skip(limit=3), steps_per_call=1)
    assert fit(learner, data, tmp_path / "apart").steps == 16


class Doubted(Classification):
    """The first loss in its second validation is not a number. It records the network's mode in each training step."""

    def __init__(self, **common: Any):
        super().__init__(**common)
        self.doubted = False
        self.modes: list[bool] = []

    def step(self, batch: Batch) -> Outcome:
        outcome = super().step(batch)
        if torch.is_grad_enabled():
            self.modes.append(self.model.training)
        elif self.current_epoch == 1 and not self.doubted:
            self.doubted = True
            return outcome._replace(loss=outcome.loss * math.nan)
        return outcome


def test_the_network_trains_again_after_a_validation_that_diverged(images, tmp_path):
    learner = network(images(), task=Doubted, model=CNN_SMALL, divergence=RollBack(factor=0.5, limit=1), steps_per_call=1)
    assert fit(learner, images(), tmp_path / "run").steps > 16
    assert learner.task.doubted
    assert all(learner.task.modes)


class Fragile(nn.Module):
    """A net whose output is not a number after its weights have grown too far."""

    def __init__(self, limit: float):
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Dropout(0.1))
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        logits = self.layer(x)
        return logits * math.nan if self.training and bool((self.layer[1].weight.abs() > self.limit).any()) else logits


ROLLED = {
    "model": partial(Fragile, 0.3),
    "optimizer": partial(SGD, lr=0.3),
    "max_epochs": 4,
    "steps_per_call": 1,
    "save_every_n_minutes": 60.0,
}


def roll_back(**settings: Any) -> RollBack:
    return RollBack(**{"factor": 0.1, "limit": 3, **settings})


@pytest.fixture
def whole(images, tmp_path, capsys) -> dict[str, Any]:
    """A training with one rollback and no interruption."""
    data = images()
    result = fit(network(data, divergence=roll_back(), **ROLLED), data, tmp_path / "whole")
    rolled = [point for point in read(tmp_path / "whole" / "metrics.jsonl") if point["name"] == "train/rolled_back"]
    printed = capsys.readouterr().err
    return {
        "result": result,
        "printed": printed,
        "at": [point["step"] for point in rolled],
        "values": [point["value"] for point in rolled],
    }


def test_a_rollback_lowers_the_rate_and_loses_no_point(images, tmp_path, whole):
    (at,) = whole["at"]
    assert whole["values"] == [1]
    start = 8 * ((at - 1) // 8)  # the epoch's beginning
    assert whole["result"].steps == 32 + at - start
    assert whole["result"].epochs == 4
    folder = tmp_path / "whole"
    steps = [point["step"] for point in read(folder / "metrics.jsonl") if point["name"] == "train/loss"]
    assert steps == list(range(1, 32 + at - start + 1))  # each once, in the order of time
    assert values(folder, "train/lr") == pytest.approx([0.3] * at + [0.03] * (32 - start))
    losses = values(folder, "train/loss")
    assert [number for number, loss in enumerate(losses, start=1) if not math.isfinite(loss)] == [at]
    first = points(folder)["train/loss", at + 1]
    assert first == (start // 8 + 1, points(folder)["train/loss", start + 1][1])  # the same batch, weights and dropout
    assert len(values(folder, "val/loss")) == 4
    assert not (folder / "good.ckpt").exists()
    assert checkpoints.read(folder / "last.ckpt")["divergence"]["times"] == 1
    printed = whole["printed"]
    assert f"divergence: The loss is nan at step {at}" in printed
    assert "the learning rate times 0.1 (1 of 3)" in printed


class Interrupting(Callback):
    """Ctrl-C at the n-th block, over all fits of a training."""

    def __init__(self, count: int):
        self.left = count

    def on_train_batch_end(self, *_: Any) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("after", [-3, 0, 1, 4])
@pytest.mark.parametrize("minutes", [0.0, 60.0], ids=["saved before each block", "saved before each epoch"])
def test_an_interruption_around_a_rollback_changes_nothing(images, tmp_path, whole, after, minutes):
    data = images()
    (at,) = whole["at"]
    settings = {**ROLLED, "save_every_n_minutes": minutes, "divergence": roll_back()}
    interrupting = Interrupting(at + after)
    with pytest.raises(KeyboardInterrupt):
        fit(network(data, callbacks=lambda: [interrupting], **settings), data, tmp_path / "run")
    result = fit(network(data, **{**settings, "divergence": roll_back()}), data, tmp_path / "run")
    assert result.steps == whole["result"].steps
    for name in ("last.ckpt", "best.ckpt"):
        assert same(end(tmp_path / "run", name), end(tmp_path / "whole", name))
    assert same(*(checkpoints.read(tmp_path / name / "last.ckpt")["divergence"] for name in ("run", "whole")))
    actual, expected = points(tmp_path / "run"), points(tmp_path / "whole")
    assert actual.keys() == expected.keys()
    assert {key: repr(value) for key, value in actual.items()} == {key: repr(value) for key, value in expected.items()}


def test_too_many_rollbacks_end_the_run(images, tmp_path):
    data = images()
    settings = {**ROLLED, "task": spoilt({3: math.nan}), "model": FNN_SMALL}
    with pytest.raises(RunFailed, match=r"The loss is nan at step 3, in epoch 1 after 2 rollbacks;"):
        fit(network(data, divergence=roll_back(limit=2), **settings), data, tmp_path / "run")
    assert values(tmp_path / "run", "train/rolled_back") == [1, 2]
    assert len(values(tmp_path / "run", "train/loss")) == 6  # of the last time nothing was flushed


def test_it_rolls_back_to_the_last_checkpoint_by_steps(images, tmp_path):
    data = images()
    settings = {**ROLLED, "save_every_n_steps": 3, "model": FNN_SMALL, "task": spoilt({15: math.nan})}
    with pytest.raises(RunFailed):
        fit(network(data, divergence=roll_back(limit=1), **settings), data, tmp_path / "run")
    actual = checkpoints.read(tmp_path / "run" / "last.ckpt")
    assert (actual["global_step"], actual["divergence"]["step_offset"]) == (12, 3)


def test_it_does_not_roll_back_to_a_checkpoint_that_no_good_step_followed(images, tmp_path):
    """The first step of the second epoch fails. The weights of its beginning may be the reason."""
    data = images()
    settings = {**ROLLED, "model": FNN_SMALL, "task": spoilt({9: math.nan})}
    with pytest.raises(RunFailed, match="at step 9, in epoch 2 after 1 rollbacks"):
        fit(network(data, divergence=roll_back(limit=1), **settings), data, tmp_path / "run")
    actual = checkpoints.read(tmp_path / "run" / "last.ckpt")
    assert (actual["global_step"], actual["divergence"]["step_offset"]) == (8, 9)
    assert len(values(tmp_path / "run", "val/loss")) == 2  # of the first epoch, both times
    assert (tmp_path / "run" / "best.ckpt").is_file()


def test_a_spike_of_the_loss_counts_too(images, tmp_path):
    data = images()
    settings = {"model": FNN_SMALL, "task": spoilt({30: 100.0}), "max_epochs": 4, "steps_per_call": 4}
    with pytest.raises(RunFailed, match=r"The loss is [0-9.]+ at step 30, in epoch 4 after 1 rollbacks"):
        fit(network(data, divergence=roll_back(spike=5.0, limit=1), **settings), data, tmp_path / "run")
    fit(network(data, divergence=roll_back(spike=1000.0, limit=1), **settings), data, tmp_path / "calm")


def test_a_spike_is_measured_by_the_losses_before_it():
    policy = RollBack(factor=0.5, limit=1, spike=3.0, window=20)
    assert policy.first_divergence(torch.tensor([9.0, 90.0, 1.0])) is None  # too few before them
    assert policy.first_divergence(torch.tensor([1.0] * 30)) is None
    assert policy.first_divergence(torch.tensor([2.9, 3.1, 1.0])) == 1
    other = RollBack(factor=0.5, limit=1, spike=3.0, window=20)
    other.restore(policy.state(), step=0)
    assert other.first_divergence(torch.tensor([3.1])) == 0
    negative = RollBack(factor=0.5, limit=1, spike=3.0, window=20)
    assert negative.first_divergence(torch.tensor([-1.0] * 25 + [5.0])) is None
    assert isinstance(other.exception("loss", 3.1, step=1, last_step=1, epoch=1), RolledBack)
    assert isinstance(other.exception("loss", 3.1, step=1, last_step=1, epoch=1), RunFailed)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Skip, {"limit": 0}, "limit: expected 1 or more; received 0"),
        (RollBack, {"factor": 0.0, "limit": 1}, "factor: expected above 0, up to 1; received 0.0"),
        (RollBack, {"factor": 0.5, "limit": 0}, "limit: expected 1 or more; received 0"),
        (RollBack, {"factor": 0.5, "limit": 1, "spike": 1.0}, "spike: expected null or more than 1; received 1.0"),
        (RollBack, {"factor": 0.5, "limit": 1, "window": 3}, "window: expected 20 or more; received 3"),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)
