"""What all tasks share, with small nets under a real Trainer: steps, schedules, the length of a training, and metrics."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from src.errors import InputError, RunFailed
from src.models.autoencoder import Autoencoder
from src.tasks.reconstruction import Reconstruction
from tests.nets import CNN_SMALL, ONE_CYCLE, end, everything, fit, network, points, same, values
from tests.toy import Brightness


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", [None, everything()], ids=["plain", "augmented"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_size_of_blocks_changes_nothing(images, tmp_path, precision, augmentation):
    data = images()
    settings = {"model": CNN_SMALL, "optimizer": partial(Adam, lr=0.01), "scheduler": ONE_CYCLE, "precision": precision}
    settings["augmentation"] = augmentation
    ends, actual = [], []
    for block in (1, 3, 32):
        folder = tmp_path / f"{block}"
        result = fit(network(data, steps_per_call=block, **settings), data, folder)
        assert (result.steps, result.epochs) == (16, 2)  # 120 examples in batches of 16, twice
        ends.append(end(folder)["state_dict"])
        actual.append(points(folder))
    assert all(tensor.isfinite().all() for tensor in ends[0].values())
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])
    assert actual[0] == actual[1] == actual[2]


def test_another_seed_gives_other_weights_and_the_same_one_the_same(images, tmp_path):
    data = images()
    actual = []
    for number, seed in enumerate((0, 0, 1)):
        learner = network(data, model=CNN_SMALL, seed=seed)
        torch.rand(number)  # what is drawn before the fit does not matter
        fit(learner, data, tmp_path / f"{number}")
        actual.append(end(tmp_path / f"{number}")["state_dict"])
    assert same(actual[0], actual[1])
    assert not same(actual[0], actual[2])


@pytest.mark.parametrize(
    ("accumulate", "block", "steps"),
    [(1, 16, 8), (2, 16, 4), (3, 16, 3), (3, 1, 3), (8, 4, 1), (20, 16, 1)],
)
def test_a_step_is_one_of_the_optimizer(images, tmp_path, accumulate, block, steps):
    data = images()
    learner = network(data, accumulate_grad_batches=accumulate, steps_per_call=block, scheduler=ONE_CYCLE)
    result = fit(learner, data, tmp_path / "run")
    assert result.steps == 2 * steps
    assert end(tmp_path / "run")["global_step"] == 2 * steps
    assert {step for name, step in points(tmp_path / "run") if name == "train/loss"} == set(range(1, 2 * steps + 1))
    assert end(tmp_path / "run")["lr_schedulers"][0]["last_epoch"] == 2 * steps


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulating_is_a_bigger_batch(images, tmp_path, accumulate):
    """Of the sixteen small batches of an epoch, three at a time leave one for the last step."""
    small, big = images(160, batch_size=8), images(160, batch_size=8 * accumulate)
    fit(network(small, accumulate_grad_batches=accumulate), small, tmp_path / "small")
    fit(network(big), big, tmp_path / "big")
    one, other = (end(tmp_path / name)["state_dict"] for name in ("small", "big"))
    for name in one:
        assert torch.allclose(one[name], other[name], atol=1e-6), name
    assert points(tmp_path / "small").keys() == points(tmp_path / "big").keys()


def test_gradients_are_clipped_by_their_norm(images, tmp_path):
    data = images()
    moved = []
    for clip in (None, 0.01):
        learner = network(data, gradient_clip_val=clip, max_steps=1)
        before = {name: tensor.clone() for name, tensor in learner.task.state_dict().items()}
        fit(learner, data, tmp_path / f"{clip}")
        after = end(tmp_path / f"{clip}")["state_dict"]
        moved.append(math.sqrt(sum(float((after[name] - before[name]).square().sum()) for name in before)))
    assert moved[0] > 0.05 * 0.02
    assert moved[1] == pytest.approx(0.05 * 0.01, rel=1e-3)


def reference(kind: Callable[..., Any], steps: int) -> list[float]:
    """The rates that a schedule gives to so many steps."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
    scheduler, rates = kind(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_a_schedule_by_steps_is_stepped_after_each(images, tmp_path):
    data = images()
    fit(network(data, scheduler=ONE_CYCLE, steps_per_call=3), data, tmp_path / "run")
    rates = reference(partial(OneCycleLR, max_lr=0.02, total_steps=16), 16)
    # the rate is logged after its step, when the schedule has moved on
    assert values(tmp_path / "run", "train/lr")[:-1] == pytest.approx(rates[1:])
    assert end(tmp_path / "run")["lr_schedulers"][0]["last_epoch"] == 16


def test_a_training_too_short_for_its_schedule_is_refused_before_its_network_is_made(images):
    def never() -> nn.Module:
        raise AssertionError("the network was made")

    with pytest.raises(InputError, match=r"long enough for its phases; it has 4 steps in all\. Train longer"):
        network(images(), model=never, scheduler=partial(OneCycleLR, max_lr=0.02, pct_start=0.25), max_steps=4)
    with pytest.raises(InputError, match=r"optimizer: expected settings that SGD takes; it says: Invalid learning rate"):
        network(images(), model=never, optimizer=partial(SGD, lr=-1.0))


def test_a_schedule_by_epochs_is_stepped_after_each(images, tmp_path):
    data = images()
    fit(network(data, scheduler=partial(CosineAnnealingLR, T_max=4), max_epochs=4), data, tmp_path / "run")
    rates = values(tmp_path / "run", "train/lr")
    assert len(rates) == 32
    assert [len(set(rates[i : i + 8])) for i in range(0, 32, 8)] == [1, 1, 1, 1]
    assert rates[::8] == pytest.approx(reference(partial(CosineAnnealingLR, T_max=4), 4))
    assert end(tmp_path / "run")["lr_schedulers"][0]["last_epoch"] == 4


def test_a_schedule_that_waits_for_the_objective_sees_it_after_each_epoch(images, tmp_path):
    data = images()
    never = partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5, threshold=10, threshold_mode="abs")
    fit(network(data, scheduler=never, max_epochs=4), data, tmp_path / "run")
    assert values(tmp_path / "run", "train/lr")[::8] == pytest.approx([0.05, 0.05, 0.025, 0.0125])
    state = end(tmp_path / "run")["lr_schedulers"][0]
    assert state["last_epoch"] == 4
    assert state["best"] == pytest.approx(values(tmp_path / "run", "val/accuracy")[0])


@pytest.mark.parametrize("block", [1, 3, 16])
@pytest.mark.parametrize(("max_steps", "epochs"), [(1, 1), (5, 1), (8, 1), (13, 2)])
@pytest.mark.parametrize("max_epochs", [5, None])
def test_max_steps_is_exact(images, tmp_path, block, max_steps, epochs, max_epochs):
    data = images()
    learner = network(data, max_steps=max_steps, max_epochs=max_epochs, steps_per_call=block, scheduler=ONE_CYCLE)
    result = fit(learner, data, tmp_path / "run")
    assert (result.steps, result.epochs) == (max_steps, epochs)
    assert end(tmp_path / "run")["lr_schedulers"][0]["last_epoch"] == max_steps
    actual = points(tmp_path / "run")
    assert max(step for _, step in actual) == max_steps
    assert actual["val/accuracy", max_steps][0] == epochs  # an epoch that ends early is validated too
    assert actual["train/loss_epoch", max_steps][0] == epochs


def test_the_end_of_the_epochs_comes_before_a_larger_max_steps(images, tmp_path):
    data = images()
    learner = network(data, max_steps=1000, scheduler=ONE_CYCLE)
    assert fit(learner, data, tmp_path / "run").steps == 16
    assert end(tmp_path / "run")["lr_schedulers"][0]["total_steps"] == 16


def test_without_an_end_a_training_is_refused(images):
    with pytest.raises(ValueError, match="expected max_epochs or max_steps; received None and -1"):
        network(images(), max_epochs=None)


def test_a_limit_of_batches_holds_for_every_split(images, tmp_path):
    data = images(300)
    result = fit(network(data, limit_batches=1, max_epochs=3, scheduler=ONE_CYCLE), data, tmp_path / "run")
    assert (result.steps, result.epochs) == (3, 3)


@pytest.mark.slow
def test_overfitting_validates_on_what_it_trains_on(images, tmp_path):
    data = images()
    learner = network(data, overfit_batches=2, max_epochs=60, optimizer=partial(Adam, lr=0.01))
    assert fit(learner, data, tmp_path / "run").steps == 120
    assert values(tmp_path / "run", "val/accuracy")[-1] == 1


def test_the_epochs_loss_is_the_mean_over_its_batches(images, tmp_path):
    data = images()
    fit(network(data, steps_per_call=3), data, tmp_path / "run")
    losses = values(tmp_path / "run", "train/loss")
    means = [sum(losses[:8]) / 8, sum(losses[8:]) / 8]
    assert values(tmp_path / "run", "train/loss_epoch") == pytest.approx(means, rel=1e-5)


def test_losses_between_two_logged_steps_are_averaged(images, tmp_path):
    data = images()
    fit(network(data), data, tmp_path / "each")
    fit(network(data, log_every_n_steps=5), data, tmp_path / "fifth")
    each = values(tmp_path / "each", "train/loss")
    assert values(tmp_path / "fifth", "train/loss") == pytest.approx([sum(each[i : i + 5]) / 5 for i in (0, 5, 10)], rel=1e-5)


def test_the_whole_split_is_validated(images, tmp_path):
    """Twelve examples in batches of five, the last one shorter."""
    data = images(120, batch_size=5)
    learner = network(data, max_epochs=1)
    fit(learner, data, tmp_path / "run")
    rows = data.rows("val")
    (probability,) = (part["probability"] for part in learner.predict(data, rows))
    target = data.targets(rows)
    loss = -torch.from_numpy(probability).log()[range(len(rows)), target].mean()
    assert values(tmp_path / "run", "val/accuracy") == [pytest.approx((probability.argmax(axis=1) == target).mean())]
    assert values(tmp_path / "run", "val/loss") == [pytest.approx(float(loss), rel=1e-5)]


def test_early_stopping_sees_the_metrics(images, tmp_path):
    data = images()
    stop = partial(EarlyStopping, monitor="val/accuracy", mode="max", patience=2, min_delta=2.0)
    result = fit(network(data, callbacks=lambda: [stop()], max_epochs=9), data, tmp_path / "run")
    assert result.epochs == 3


def test_a_reconstruction_learns(images, tmp_path):
    data = images()
    model = partial(Autoencoder, input_shape=(1, 8, 8), hidden=[16], latent_size=4)
    learner = network(
        data, model=model, task=Reconstruction, metric="val/error", optimizer=partial(Adam, lr=0.01), max_epochs=5
    )
    fit(learner, data, tmp_path / "run")
    errors = values(tmp_path / "run", "val/error")
    assert errors[-1] < errors[0]
    assert errors == pytest.approx(values(tmp_path / "run", "val/loss"), rel=1e-5)


class Recording(nn.Module):
    """A linear model that records its inputs, by mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.seen: dict[bool, list[Tensor]] = {True: [], False: []}

    def forward(self, x: Tensor) -> Tensor:
        self.seen[self.training].append(x.detach().cpu())
        return self.layer(x)


def test_only_training_examples_are_augmented(images, tmp_path):
    data = images()
    model = Recording()
    learner = network(data, model=lambda: model, augmentation=everything(), max_epochs=2)
    learner.check(data)
    model.seen = {True: [], False: []}
    fit(learner, data, tmp_path / "run")
    stored = {split: torch.from_numpy(data.normalise(data.inputs(data.rows(split)))) for split in ("train", "val")}
    trained = torch.cat(model.seen[True])
    assert trained.shape == (240, 1, 8, 8)
    assert (torch.cdist(trained.flatten(1), stored["train"].flatten(1)).min(dim=1).values > 0.1).float().mean() > 0.9
    assert not torch.allclose(trained[:120].sort(dim=0).values, trained[120:].sort(dim=0).values)  # other ones each epoch
    assert torch.allclose(torch.cat(model.seen[False]), stored["val"].repeat(2, 1, 1, 1), atol=1e-5)
    list(learner.predict(data, data.rows("val")))
    predicted = model.seen[False][-1][: len(stored["val"])]  # the pass is filled up with the last example
    assert torch.allclose(predicted, stored["val"], atol=1e-5)
    list(learner.predict(data, data.rows("val"), fill=False))  # as a latency is measured
    assert len(model.seen[False][-1]) == len(stored["val"])


def test_a_task_whose_targets_cannot_be_mixed_is_refused_before_it_trains(images):
    data = images()
    learner = network(data, task=Brightness, metric="val/distance", augmentation=everything())
    with pytest.raises(InputError, match=r"augmentation: .*targets can be mixed; those of Brightness cannot.*mixup, cutmix"):
        learner.check(data)


@pytest.mark.slow
def test_a_reconstruction_learns_from_augmented_examples(images, tmp_path):
    data = images()
    model = partial(Autoencoder, input_shape=(1, 8, 8), hidden=[16], latent_size=4)
    settings = {"task": Reconstruction, "metric": "val/error", "optimizer": partial(Adam, lr=0.01), "max_epochs": 5}
    fit(network(data, model=model, augmentation=everything(), **settings), data, tmp_path / "run")
    errors = values(tmp_path / "run", "val/error")
    assert errors[-1] < errors[0]


class Breaking(nn.Module):
    """A linear model whose output is not a number from the n-th training batch on."""

    def __init__(self, batch: int):
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.left = batch - 1

    def forward(self, x: Tensor) -> Tensor:
        logits = self.layer(x)
        if not self.training:
            return logits
        self.left -= 1
        return logits if self.left >= 0 else logits * math.nan


@pytest.mark.parametrize(
    ("batch", "accumulate", "block", "step", "epoch"),
    [
        (1, 1, 16, 1, 1),
        (1, 1, 1, 1, 1),
        (8, 1, 16, 8, 1),
        (13, 1, 1, 13, 2),
        (13, 1, 3, 13, 2),
        (13, 1, 16, 13, 2),
        (12, 2, 16, 6, 2),
        (13, 2, 16, 7, 2),
        (2, 3, 16, 1, 1),
        (6, 3, 16, 2, 1),
        (8, 3, 16, 3, 1),  # in the last, shorter group of an epoch of 8 batches
        (10, 3, 16, 4, 2),
        (10, 3, 3, 4, 2),
    ],
)
def test_a_loss_that_is_no_number_ends_the_run(images, tmp_path, batch, accumulate, block, step, epoch):
    data = images()
    learner = network(data, model=lambda: Breaking(batch), accumulate_grad_batches=accumulate, steps_per_call=block)
    with pytest.raises(RunFailed, match=rf"The loss is nan at step {step}, in epoch {epoch};.*optimizer\.lr"):
        fit(learner, data, tmp_path / "run")
    kept = tmp_path / "run" / "best.ckpt"
    assert kept.is_file() == (epoch == 2)
    if epoch == 2:
        actual = end(tmp_path / "run", "best.ckpt")
        assert actual["epoch"] == 0
        assert all(tensor.isfinite().all() for tensor in actual["state_dict"].values())
        assert all(tensor.isfinite().all() for tensor in end(tmp_path / "run")["state_dict"].values())


class Overflowing(SGD):
    """Gradient descent whose n-th update makes all weights NaN."""

    def __init__(self, parameters: Any, *, update: int):
        super().__init__(parameters, lr=0.05)
        self.left = update

    def step(self, closure: Any = None) -> None:
        super().step(closure)
        self.left -= 1
        if not self.left:
            with torch.no_grad():
                for parameter in self.param_groups[0]["params"]:
                    parameter.fill_(math.nan)


@pytest.mark.parametrize(("update", "epoch"), [(8, 1), (16, 2)])
def test_weights_that_are_no_numbers_are_not_kept_as_the_best(images, tmp_path, update, epoch):
    """The last loss is a number. The last update of an epoch spoils the weights."""
    data = images()
    learner = network(data, optimizer=partial(Overflowing, update=update))
    with pytest.raises(RunFailed, match=rf"The validation loss is nan at step {update}, in epoch {epoch};"):
        fit(learner, data, tmp_path / "run")
    kept = tmp_path / "run" / "best.ckpt"
    assert kept.is_file() == (epoch == 2)
    assert epoch == 1 or all(tensor.isfinite().all() for tensor in end(kept.parent, kept.name)["state_dict"].values())
