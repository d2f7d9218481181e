"""The learner's own settings: compiled networks, and how many steps a call of the loop gets."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from torch.optim import Adam

from src.data.loading import Loading
from src.optimization import hardware
from src.training.loaders import Loaders
from tests.nets import FNN_SMALL, end, fit, network, points


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore:.*jit.script_method.*:DeprecationWarning")  # torch's compiler imports it
def test_a_compiled_network_learns_the_same_under_the_same_names(images, tmp_path):
    data = images()
    settings = {"model": FNN_SMALL, "optimizer": partial(Adam, lr=0.01)}
    fit(network(data, **settings), data, tmp_path / "eager")
    learner = network(data, compile="default", **settings)
    fit(learner, data, tmp_path / "compiled")
    one, other = (end(tmp_path / name)["state_dict"] for name in ("eager", "compiled"))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.allclose(one[name], other[name], atol=1e-5), name
    losses, compiled = points(tmp_path / "eager"), points(tmp_path / "compiled")
    assert losses.keys() == compiled.keys()
    for key in losses:
        assert compiled[key] == pytest.approx(losses[key], rel=1e-4), key
    example = data.inputs(data.rows("test")[:3]).astype("float32")
    learner.package(tmp_path / "model", example)  # of the eager network


def test_an_unknown_compile_mode_is_refused(images):
    with pytest.raises(ValueError, match=r"trainer\.compile: expected null or one of default.*; received fast"):
        network(images(), compile="fast")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_clip_val": 0}, r"trainer\.gradient_clip_val: expected null or more than 0; received 0"),
        ({"gradient_clip_val": -1.0}, r"gradient_clip_val: expected null or more than 0; received -1"),
        ({"limit_batches": 0}, r"trainer\.limit_batches: expected a whole number from 1, or null; received 0"),
        ({"limit_batches": 0.5}, r"trainer\.limit_batches: expected a whole number from 1, or null; received 0\.5"),
        ({"overfit_batches": -1}, r"trainer\.overfit_batches: expected a whole number from 0; received -1"),
        ({"accumulate_grad_batches": 0}, r"trainer\.accumulate_grad_batches: expected a whole number from 1"),
        ({"log_every_n_steps": 0}, r"trainer\.log_every_n_steps: expected a whole number from 1"),
        (
            {"gradient_clip_algorithm": "value"},
            r"trainer\.gradient_clip_algorithm: expected none, because .* clipped by their norm",
        ),
        (
            {"limit_train_batches": 3},
            r"trainer\.limit_train_batches: expected none, because trainer\.limit_batches",
        ),
        ({"fast_dev_rum": True}, r"trainer\.fast_dev_rum: expected an argument of Lightning's Trainer"),
        ({"limit_val_batches": 5}, r"trainer\.limit_val_batches: expected none"),
        ({"enable_model_summary": True}, r"trainer\.enable_model_summary: expected none"),
        ({"check_val_every_n_epoch": 2}, "expected none, because each epoch ends with a validation"),
    ],
)
def test_settings_without_effect_or_out_of_range_are_refused(images, settings, message):
    with pytest.raises(ValueError, match=message):
        network(images(), **settings)


@pytest.mark.parametrize(
    ("settings", "examples"),
    [
        ({"max_epochs": 2}, 144),
        ({"max_epochs": 2, "limit_batches": 3}, 96),
        ({"max_epochs": None, "max_steps": 5}, 72),
        ({"max_epochs": None, "max_steps": 7}, 104),
        ({"accumulate_grad_batches": 2}, 144),
        ({"accumulate_grad_batches": 2, "max_epochs": None, "max_steps": 5}, 136),
    ],
)
def test_the_examples_of_a_training_are_counted(images, tmp_path, settings, examples):
    """72 examples in five batches, of which the last one has eight."""
    data = images(90)
    assert len(data.rows("train")) == 72
    assert fit(network(data, **settings), data, tmp_path / "run").examples == examples


@pytest.mark.parametrize(
    ("limit", "accumulate", "expected"),
    [(2**20, 1, 5), (3 * 16 * 72, 1, 3), (100, 1, 1), (2**20, 2, 6), (5 * 16 * 72, 2, 4), (100, 4, 4)],
)
def test_a_block_of_steps_is_bounded_in_bytes(images, monkeypatch, limit, accumulate, expected):
    """Sixteen examples a batch, each 64 bytes of pixels and 8 of target."""
    monkeypatch.setattr("src.training.loaders.BLOCK_BYTES", limit)
    data = images(200)
    loaders = Loaders(data, Loading(), ranks=1, accumulate=accumulate, seed=0)
    assert loaders.loader("train", block=5, device=torch.device("cpu")).block == expected


class Threads(Callback):
    """Notes how many threads compute."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.numbers.add(torch.get_num_threads())


@pytest.mark.parametrize(("limit", "expected"), [(3 * 2 * (64 * 8 + 8 * 3) * 16, 1), (3 * 2 * (64 * 8 + 8 * 3) * 16 - 1, 2)])
def test_one_thread_computes_small_steps(images, tmp_path, monkeypatch, limit, expected):
    """A product of 64x8 and one of 8x3 for each of 16 examples, once forward and twice as much backward."""
    monkeypatch.setattr(hardware, "SINGLE_THREADED", limit)
    data, before = images(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads = Threads()
        fit(network(data, callbacks=lambda: [threads], max_epochs=1), data, tmp_path / "run")
        assert threads.numbers == {expected}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Watching(Callback):
    """A callback of a user, who logs by Lightning's own means."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("mine/epoch", 1.0)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("mine/validation", 2.0)


def test_what_a_callback_logs_stands_at_optimizer_steps(images, tmp_path):
    """72 examples in five batches an epoch, which are one block."""
    data = images(90)
    learner = network(data, callbacks=lambda: [Watching(), LearningRateMonitor()], log_every_n_steps=1)
    fit(learner, data, tmp_path / "run")
    steps: dict[str, set[int]] = {}
    for name, step in points(tmp_path / "run"):
        steps.setdefault(name, set()).add(step)
    assert steps["mine/epoch"] == steps["mine/validation"] == steps["val/loss"] == {5, 10}
    assert steps["lr-SGD"] <= {*range(11)}
