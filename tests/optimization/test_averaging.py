"""Averaged weights: their mean, what they are used for, and that a training continues from both sets of weights."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.optim import SGD, Adam

from src.optimization.averaging import EMA, SWA
from src.runs import checkpoints
from tests.nets import CNN_SMALL, FNN_SMALL, ONE_CYCLE, end, everything, fit, network, points, same, values

KINDS = {"ema": EMA(decay=0.9), "swa": SWA(start=0.5, batches=3)}
SETTINGS = {"model": CNN_SMALL, "optimizer": partial(Adam, lr=0.01, fused=True), "scheduler": ONE_CYCLE, "max_epochs": 3}


def averaged(folder) -> dict[str, Tensor]:
    return checkpoints.read(folder / "last.ckpt")["averaging"]["weights"]


class Recording(SGD):
    """Gradient descent that records the weights after each step."""

    history: list[list[Tensor]] = []  # noqa: RUF012 - of the one training that a test looks at

    def step(self, closure: Any = None) -> None:
        super().step(closure)
        type(self).history.append([parameter.detach().clone() for parameter in self.param_groups[0]["params"]])


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_that_of_the_weights_after_each_step(images, tmp_path, kind):
    data = images()
    Recording.history.clear()
    learner = network(data, model=FNN_SMALL, optimizer=partial(Recording, lr=0.05), averaging=KINDS[kind])
    first = [parameter.detach().clone() for parameter in learner.task.parameters()]
    fit(learner, data, tmp_path / "run")
    assert len(Recording.history) == 16
    if kind == "swa":
        expected = [torch.stack(weights).mean(dim=0) for weights in zip(*Recording.history[8:], strict=True)]
    else:
        expected = first
        for count, weights in enumerate(Recording.history):
            decay = min(0.9, (1 + count) / (10 + count))
            expected = [decay * mean + (1 - decay) * new for mean, new in zip(expected, weights, strict=True)]
    for mean, wanted in zip(averaged(tmp_path / "run").values(), expected, strict=True):
        assert torch.allclose(mean, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_trained_weights_are_what_they_are_without_it(images, tmp_path, kind):
    """With dropout: the pass for the statistics of batch normalisation must not consume its random numbers."""
    data = images()
    fit(network(data, **SETTINGS), data, tmp_path / "plain")
    fit(network(data, averaging=KINDS[kind], **SETTINGS), data, tmp_path / "averaged")
    assert same(end(tmp_path / "averaged"), end(tmp_path / "plain"))
    assert values(tmp_path / "averaged", "train/loss") == values(tmp_path / "plain", "train/loss")
    assert values(tmp_path / "averaged", "val/loss") != values(tmp_path / "plain", "val/loss")


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_validated_kept_and_used_for_predictions(images, tmp_path, kind):
    data = images()
    averaging = SWA(start=0.0) if kind == "swa" else KINDS[kind]
    learner = network(data, averaging=averaging, metric="val/loss", **{**SETTINGS, "max_epochs": 4})
    fit(learner, data, tmp_path / "run")
    assert learner.task._optimizer_step._direct_step  # it needs none of Lightning's hooks
    best = checkpoints.read(tmp_path / "run" / "best.ckpt")
    assert best["averaging"] is None
    rows = data.rows("val")
    (probability,) = (part["probability"] for part in learner.predict(data, rows))
    loss = -torch.from_numpy(probability).log()[range(len(rows)), data.targets(rows)].mean()
    losses = values(tmp_path / "run", "val/loss")
    assert float(loss) == pytest.approx(max(losses), rel=1e-5)  # here the largest one is called the best
    fresh = network(data, averaging=KINDS[kind], **SETTINGS)
    fresh.load(learner.export(tmp_path / "exported"))
    assert same(dict(fresh.task.state_dict()), best["state_dict"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_blocks_changes_nothing(images, tmp_path, kind):
    data = images()
    for block in (1, 3, 32):
        settings = {"accumulate_grad_batches": 2, "steps_per_call": block, "augmentation": everything()}
        fit(network(data, averaging=KINDS[kind], **SETTINGS, **settings), data, tmp_path / f"{block}")
    for block in (3, 32):
        assert same(averaged(tmp_path / f"{block}"), averaged(tmp_path / "1"))
        assert same(end(tmp_path / f"{block}", "best.ckpt"), end(tmp_path / "1", "best.ckpt"))
        assert points(tmp_path / f"{block}") == points(tmp_path / "1")


class Interrupting(Callback):
    """Ctrl-C at the n-th block, or within the n-th validation."""

    def __init__(self, block: int, validation: int):
        self.blocks, self.validations = block, validation

    def on_train_batch_end(self, *_: Any) -> None:
        self.blocks -= 1
        if not self.blocks:
            raise KeyboardInterrupt

    def on_validation_batch_end(self, *_: Any) -> None:
        self.validations -= 1
        if not self.validations:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("block", "validation"), [(11, 0), (24, 0), (0, 2)])
def test_an_interrupted_training_continues_exactly(images, tmp_path, kind, block, validation):
    data = images()
    settings = {**SETTINGS, "steps_per_call": 1, "save_every_n_minutes": 0.0, "averaging": KINDS[kind]}
    fit(network(data, **settings), data, tmp_path / "whole")
    interrupting = Interrupting(block, validation)
    with pytest.raises(KeyboardInterrupt):
        fit(network(data, callbacks=lambda: [interrupting], **settings), data, tmp_path / "run")
    fit(network(data, **settings), data, tmp_path / "run")
    assert same(averaged(tmp_path / "run"), averaged(tmp_path / "whole"))
    for name in ("last.ckpt", "best.ckpt"):
        assert same(end(tmp_path / "run", name), end(tmp_path / "whole", name))
    assert points(tmp_path / "run") == points(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_training_continues(images, tmp_path, kind):
    """A mean over the last epochs starts again when a longer training moves their start."""
    data = images()
    settings = {"model": CNN_SMALL, "optimizer": partial(Adam, lr=0.01), "averaging": KINDS[kind]}
    fit(network(data, max_epochs=2, **settings), data, tmp_path / "first")
    fit(network(data, max_epochs=2, **settings), data, tmp_path / "first")  # nothing is left to do
    learner = network(data, max_epochs=4, **settings)
    fit(learner, data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    fit(network(data, max_epochs=4, **settings), data, tmp_path / "whole")
    assert same(end(tmp_path / "further")["state_dict"], end(tmp_path / "whole")["state_dict"])
    assert same(averaged(tmp_path / "further"), averaged(tmp_path / "whole"))
    plain = {**settings, "averaging": None}
    fit(network(data, max_epochs=2, **plain), data, tmp_path / "plain")
    fit(network(data, max_epochs=4, **settings), data, tmp_path / "resumed", resume=tmp_path / "plain" / "last.ckpt")
    assert same(end(tmp_path / "resumed")["state_dict"], end(tmp_path / "whole")["state_dict"])


class Normalising(nn.Module):
    """A net whose batch normalisation sees a linear function of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_the_statistics_of_batch_normalisation_are_those_of_the_mean(images, tmp_path):
    data = images(batch_size=15)  # eight equal batches
    settings = {"model": Normalising, "optimizer": partial(SGD, lr=0.5), "max_epochs": 4, "metric": "val/loss"}
    learner = network(data, averaging=SWA(start=0.0, batches=100), **settings)
    fit(learner, data, tmp_path / "run")
    model = learner.task.model.eval()
    stored = torch.from_numpy(data.normalise(data.inputs(data.rows("train"))))
    inputs = model.layers[:2](stored).detach()
    assert torch.allclose(model.layers[2].running_mean, inputs.mean(dim=0), atol=1e-4)
    last = checkpoints.read(tmp_path / "run" / "last.ckpt")["state_dict"]
    assert not torch.allclose(last["model.layers.2.running_mean"], inputs.mean(dim=0), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (EMA, {"decay": 1.0}, "decay: expected 0 up to, but not including, 1; received 1.0"),
        (EMA, {"decay": 0.9, "warm_up": 0.5}, "warm_up: expected 1 or more; received 0.5"),
        (SWA, {"start": 1.0}, "start: expected a share"),
        (SWA, {"start": 0.5, "batches": 0}, "batches: expected 1 or more; received 0"),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)
