"""The best checkpoint and the last one: a training that was interrupted anywhere continues exactly."""

import os
import signal
from functools import partial
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Adam

from src.errors import InputError
from src.signals import Preempted
from tests.nets import CNN_SMALL, ONE_CYCLE, end, everything, fit, network, points, same, values


def test_the_best_epoch_is_kept_and_loaded(images, tmp_path):
    data = images()
    learner = network(data, optimizer=partial(Adam, lr=0.05), max_epochs=6)
    result = fit(learner, data, tmp_path / "run")
    accuracies = values(tmp_path / "run", "val/accuracy")
    assert result.best_epoch == accuracies.index(max(accuracies)) + 1  # the first of equals
    best = end(tmp_path / "run", "best.ckpt")
    assert best["global_step"] == 8 * result.best_epoch
    assert same(best["state_dict"], dict(learner.task.state_dict()))


@pytest.mark.slow
def test_an_objective_that_nobody_logs_is_refused(images, tmp_path):
    data = images()
    with pytest.raises(InputError, match=r"objective\.metric=val/f1: .* it logs .*val/accuracy"):
        fit(network(data, metric="val/f1"), data, tmp_path / "run")


class LateNumber(Callback):
    """Logs an objective that is a number from the second epoch on, as a score that needs some predictions."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("val/late", [float("nan"), 1.0, 2.0, 0.5][trainer.current_epoch])


def test_an_objective_that_is_no_number_at_first_is_not_the_best_for_ever(images, tmp_path):
    data = images()
    learner = network(data, model=CNN_SMALL, max_epochs=4, metric="val/late", callbacks=lambda: [LateNumber()])
    assert fit(learner, data, tmp_path / "run").best_epoch == 3


class Interrupting(Callback):
    """Ctrl-C at the n-th time that a hook is called."""

    def __init__(self, hook: str, count: int):
        self.left = count
        setattr(self, hook, self._called)

    def _called(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


CYCLE = {
    "model": CNN_SMALL,
    "optimizer": partial(Adam, lr=0.01),
    "scheduler": ONE_CYCLE,
    "max_epochs": 3,
    "steps_per_call": 3,  # blocks of 3, 3 and 2 batches an epoch
    "log_every_n_steps": 2,
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, Any]:
    """The results of uninterrupted trainings by name, each computed once."""
    return {}


@pytest.mark.parametrize(
    ("hook", "counts"),
    [
        ("on_train_batch_start", [1]),  # before anything is saved
        ("on_train_batch_start", [2]),
        ("on_train_batch_start", [4]),  # the first block of an epoch
        ("on_train_batch_start", [9]),
        ("on_train_batch_end", [1]),
        ("on_train_batch_end", [3]),  # the last block of an epoch, before its validation
        ("on_train_batch_end", [5]),
        ("on_train_batch_end", [9]),
        ("on_validation_start", [1]),
        ("on_validation_batch_end", [2]),
        ("on_validation_end", [2]),
        ("on_validation_end", [3]),
        ("on_train_epoch_end", [1]),
        ("on_train_epoch_end", [3]),
        ("on_train_epoch_start", [2]),
        ("on_train_start", [1]),
        ("on_train_end", [1]),
        ("on_train_batch_end", [2, 2, 2, 2]),  # again and again
        ("on_validation_end", [1, 1]),
    ],
)
@pytest.mark.parametrize("minutes", [0.0, 60.0], ids=["saved before each block", "saved before each epoch"])
def test_an_interrupted_training_continues_exactly(images, tmp_path, uninterrupted, hook, counts, minutes):
    data = images()
    settings = {**CYCLE, "save_every_n_minutes": minutes}
    if not uninterrupted:
        result = fit(network(data, **CYCLE), data, tmp_path / "whole")
        names = ("steps", "epochs", "best_epoch")
        uninterrupted["result"] = {name: getattr(result, name) for name in names}
        uninterrupted["last"], uninterrupted["best"] = end(tmp_path / "whole"), end(tmp_path / "whole", "best.ckpt")
        uninterrupted["points"] = points(tmp_path / "whole")
    folder = tmp_path / "run"
    for count in counts:
        interrupted = network(data, callbacks=lambda n=count: [Interrupting(hook, n)], **settings)
        with pytest.raises(KeyboardInterrupt):
            fit(interrupted, data, folder)
    result = fit(network(data, **settings), data, folder)
    assert {name: getattr(result, name) for name in uninterrupted["result"]} == uninterrupted["result"]
    for name in ("last", "best"):
        actual = end(folder, f"{name}.ckpt")
        for part, expected in uninterrupted[name].items():
            assert same(actual[part], expected), (name, part)
    assert points(folder) == uninterrupted["points"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "counts"),
    [("on_train_batch_start", [4]), ("on_train_batch_end", [5]), ("on_validation_end", [2]), ("on_train_batch_end", [2, 2, 2])],
)
@pytest.mark.parametrize("minutes", [0.0, 60.0], ids=["saved before each block", "saved before each epoch"])
def test_an_interrupted_training_on_augmented_examples_continues_exactly(images, tmp_path, hook, counts, minutes):
    data = images()
    settings = {**CYCLE, "save_every_n_minutes": minutes}
    fit(network(data, augmentation=everything(), **CYCLE), data, tmp_path / "whole")
    for count in counts:
        watched = partial(network, data, callbacks=lambda n=count: [Interrupting(hook, n)])
        with pytest.raises(KeyboardInterrupt):
            fit(watched(augmentation=everything(), **settings), data, tmp_path / "run")
    fit(network(data, augmentation=everything(), **settings), data, tmp_path / "run")
    for name in ("last.ckpt", "best.ckpt"):
        assert same(end(tmp_path / "run", name), end(tmp_path / "whole", name))
    assert points(tmp_path / "run") == points(tmp_path / "whole")
    fit(network(data, **CYCLE), data, tmp_path / "plain")
    assert not same(end(tmp_path / "plain")["state_dict"], end(tmp_path / "whole")["state_dict"])


class Signalling(Interrupting):
    """A signal to this process at the n-th time that a hook is called."""

    def __init__(self, hook: str, count: int, number: int):
        super().__init__(hook, count)
        self.number = number

    def _called(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("hook", "count", "step"),
    [
        ("on_train_batch_start", 1, 3),
        ("on_train_batch_end", 2, 6),
        ("on_train_batch_end", 3, 8),  # the last of an epoch: its validation comes first
        ("on_train_batch_end", 8, 22),
        ("on_validation_batch_end", 1, 8),
        ("on_train_epoch_end", 2, 16),
        ("on_train_epoch_end", 3, 24),  # the training is complete
        ("on_train_end", 1, 24),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_at_the_next_boundary_and_the_training_continues_exactly(images, tmp_path, hook, count, step, number):
    data = images()
    settings = {**CYCLE, "save_every_n_minutes": 60.0}
    signalled = network(data, callbacks=lambda: [Signalling(hook, count, number)], **settings)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(signalled, data, tmp_path / "run")
    assert isinstance(caught.value, Preempted) == (number != signal.SIGINT)
    assert end(tmp_path / "run")["global_step"] == step
    if number == signal.SIGTERM:
        fit(network(data, **settings), data, tmp_path / "run")
        fit(network(data, **settings), data, tmp_path / "whole")
        assert same(end(tmp_path / "run"), end(tmp_path / "whole"))
        assert points(tmp_path / "run") == points(tmp_path / "whole")


def test_a_checkpoint_every_so_many_steps(images, tmp_path):
    """It counts the optimizer's steps, and is written before the first block that begins after them."""
    data = images()
    settings = {**CYCLE, "steps_per_call": 1, "save_every_n_steps": 3}
    with pytest.raises(KeyboardInterrupt):
        fit(network(data, callbacks=lambda: [Interrupting("on_train_batch_end", 8)], **settings), data, tmp_path / "run")
    assert end(tmp_path / "run")["global_step"] == 6
    with pytest.raises(ValueError, match=r"save_every_n_steps: expected a whole number from 1, or null; received 0"):
        network(data, **{**settings, "save_every_n_steps": 0})


def test_the_next_interruption_is_handled_too(images, tmp_path):
    data = images()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(network(data, callbacks=lambda: [Interrupting("on_train_batch_end", 1)]), data, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_training_is_not_trained_again(images, tmp_path):
    data = images()
    first = fit(network(data, **CYCLE), data, tmp_path / "run")
    before, actual = end(tmp_path / "run"), points(tmp_path / "run")
    again = fit(network(data, **CYCLE), data, tmp_path / "run")
    assert (again.steps, again.epochs, again.best_epoch) == (first.steps, first.epochs, first.best_epoch)
    assert same(end(tmp_path / "run"), before)
    assert points(tmp_path / "run") == actual


@pytest.mark.parametrize(
    ("first", "further"),
    [
        ({"max_epochs": 2}, {"max_epochs": 4}),
        ({"max_epochs": 9, "max_steps": 8}, {"max_epochs": 2}),  # an end of both
    ],
)
@pytest.mark.parametrize("block", [1, 4, 16])
def test_a_training_continues_from_another_runs_end(images, tmp_path, first, further, block):
    data = images()
    settings = {"model": CNN_SMALL, "optimizer": partial(Adam, lr=0.01), "steps_per_call": block}
    fit(network(data, **settings, **first), data, tmp_path / "first")
    fit(network(data, **settings, **further), data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    fit(network(data, **settings, **further), data, tmp_path / "whole")
    assert same(end(tmp_path / "further")["state_dict"], end(tmp_path / "whole")["state_dict"])
    last = 8 * further["max_epochs"]
    assert points(tmp_path / "further")["val/loss", last] == points(tmp_path / "whole")["val/loss", last]


@pytest.mark.slow
def test_an_epoch_that_max_steps_cut_short_counts_as_one(images, tmp_path):
    data = images()
    settings = {"model": CNN_SMALL, "optimizer": partial(Adam, lr=0.01)}
    ends = []
    for block in (1, 4, 16):
        first, further = tmp_path / f"first {block}", tmp_path / f"further {block}"
        fit(network(data, max_steps=13, steps_per_call=block, **settings), data, first)
        learner = network(data, max_epochs=4, steps_per_call=block, **settings)
        result = fit(learner, data, further, resume=first / "last.ckpt")
        assert (result.steps, result.epochs) == (13 + 2 * 8, 4)
        ends.append(end(further)["state_dict"])
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])


def test_the_best_epoch_of_the_continued_run_stays_the_best(images, tmp_path):
    data = images()
    learner = network(data, optimizer=partial(Adam, lr=0.01), max_epochs=4)
    first = fit(learner, data, tmp_path / "first")
    assert max(values(tmp_path / "first", "val/accuracy")) == 1  # it cannot be beaten
    further = network(data, optimizer=partial(Adam, lr=0.01), max_epochs=5)
    result = fit(further, data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    assert (result.epochs, result.best_epoch) == (5, first.best_epoch)
    assert same(dict(further.task.state_dict()), dict(learner.task.state_dict()))


def test_the_checkpoint_before_replaces_a_damaged_one(images, tmp_path):
    data = images()
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(network(data, callbacks=lambda: [Interrupting("on_train_batch_end", 8)], **CYCLE), data, folder)
    path = folder / "last.ckpt"
    path.write_bytes(path.read_bytes()[:-100])
    fit(network(data, **CYCLE), data, folder)
    fit(network(data, **CYCLE), data, tmp_path / "whole")
    assert same(end(folder)["state_dict"], end(tmp_path / "whole")["state_dict"])
    assert points(folder) == points(tmp_path / "whole")


def test_exported_weights_are_loaded_again(images, tmp_path):
    data = images()
    learner = network(data, model=CNN_SMALL)
    fit(learner, data, tmp_path / "run")
    path = learner.export(tmp_path / "exported")
    other = network(data, model=CNN_SMALL)
    fit(other, data, tmp_path / "again")
    assert other.export(tmp_path / "again").read_bytes() == path.read_bytes()
    fresh = network(data, model=CNN_SMALL)
    assert not same(dict(fresh.task.state_dict()), dict(learner.task.state_dict()))
    fresh.load(path)
    assert same(dict(fresh.task.state_dict()), dict(learner.task.state_dict()))
