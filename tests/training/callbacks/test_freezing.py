"""Frozen parts stay as they are to the bit, until they are to learn."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from src.errors import InputError
from src.models.fnn import FNN
from src.optimization.averaging import SWA
from src.optimization.divergence import RollBack
from src.training.callbacks.freezing import Freezing
from tests.nets import CNN_SMALL, end, fit, network, same, values

ADAM = partial(Adam, lr=0.01, fused=True)
CYCLE = partial(OneCycleLR, max_lr=0.02)


def frozen(*named: str, until: int | dict[str, int] | None = None):
    return lambda: [Freezing(parts=list(named), until=until)]


def make_learner(data, callbacks, **settings):
    settings = {"model": CNN_SMALL, "optimizer": ADAM, "scheduler": CYCLE, "max_epochs": 4, **settings}
    return network(data, callbacks=callbacks, **settings)


def weights(folder, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return end(folder, name)["state_dict"]


@pytest.mark.parametrize("steps", [1, 3, 32])
def test_a_frozen_part_does_not_change_and_the_rest_learns(images, tmp_path, steps):
    data = images()
    learner = make_learner(data, frozen("features"), steps_per_call=steps, gradient_clip_val=0.5)
    before = {name: tensor.clone() for name, tensor in learner.task.state_dict().items()}
    fit(learner, data, tmp_path / "run")
    after = weights(tmp_path / "run")
    for name, tensor in before.items():  # the statistics of batch normalisation too
        assert torch.equal(after[name], tensor) == name.startswith("model.features"), name
    assert all(parameter.requires_grad for parameter in learner.task.parameters())  # after the fit
    fit(make_learner(data, frozen("features")), data, tmp_path / "blocks of 32")
    if steps != 32:
        fit(make_learner(data, frozen("features"), steps_per_call=steps), data, tmp_path / "other blocks")
        assert same(weights(tmp_path / "other blocks"), weights(tmp_path / "blocks of 32"))


def test_a_part_learns_after_its_frozen_epochs(images, tmp_path):
    data = images()
    part = "model.features.0.weight"
    actual = {}
    for epochs in (2, 3):
        learner = make_learner(data, frozen("features", until=2), scheduler=None, max_epochs=epochs)
        first = learner.task.state_dict()[part].clone()
        fit(learner, data, tmp_path / str(epochs))
        state = weights(tmp_path / str(epochs))
        actual[epochs] = (torch.equal(state[part], first), int(state["model.features.1.num_batches_tracked"]))
    assert actual == {2: (True, 0), 3: (False, 8)}  # 120 examples in batches of 16


def test_parts_thaw_one_after_the_other(images, tmp_path):
    data = images()
    actual = {}
    for epochs in (1, 2, 3):
        until = {"features": 2, "features.4": 1}  # the innermost part that names a weight is what counts
        learner = make_learner(data, frozen("features", "classifier.1", until=until), scheduler=None, max_epochs=epochs)
        before = {name: tensor.clone() for name, tensor in learner.task.model.named_parameters()}
        fit(learner, data, tmp_path / str(epochs))
        after = weights(tmp_path / str(epochs))
        actual[epochs] = {name for name, tensor in before.items() if torch.equal(after[f"model.{name}"], tensor)}
    second = {"features.4.weight"}
    first = {"features.0.weight", "features.1.weight", "features.1.bias", "features.5.weight", "features.5.bias"}
    assert actual == {
        1: first | second | {"classifier.1.weight", "classifier.1.bias"},
        2: first | {"classifier.1.weight", "classifier.1.bias"},
        3: {"classifier.1.weight", "classifier.1.bias"},
    }


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_it_continues_exactly_on_both_sides_of_the_change(images, tmp_path, stop):
    data = images()
    fit(make_learner(data, frozen("features", until=2), save_every_n_minutes=0.0), data, tmp_path / "whole")
    cut = {"save_every_n_minutes": 0.0, "steps_per_call": 3}

    class Killed(Exception):
        pass

    def killing():
        class Kill(Freezing):
            def on_train_epoch_end(self, trainer, pl_module):
                if trainer.current_epoch + 1 == stop:
                    raise Killed

        return [Kill(parts=["features"], until=2)]

    with pytest.raises(Killed):
        fit(make_learner(data, killing, **cut), data, tmp_path / "cut")
    fit(make_learner(data, frozen("features", until=2), **cut), data, tmp_path / "cut")
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_a_rollback_freezes_again_what_was_thawed(images, tmp_path):
    """It diverges in its third epoch, and goes back to a time when the part was frozen."""

    class Leaping(Freezing):
        fits = 0

        def on_train_start(self, trainer, pl_module):
            super().on_train_start(trainer, pl_module)
            Leaping.fits += 1
            self.held = [weight.requires_grad for weight in self._weights.values()]

        def on_train_epoch_start(self, trainer, pl_module):
            super().on_train_epoch_start(trainer, pl_module)
            if Leaping.fits == 1 and trainer.current_epoch == 2:
                with torch.no_grad():
                    pl_module.model.classifier[4].bias.fill_(float("nan"))

    learner = make_learner(
        data := images(),
        lambda: [Leaping(parts=["features"], until=2)],
        divergence=RollBack(factor=0.5, limit=3),
        scheduler=None,
    )
    fit(learner, data, tmp_path / "run")
    assert Leaping.fits == 2
    assert values(tmp_path / "run", "train/rolled_back") == [1]
    assert int(weights(tmp_path / "run")["model.features.1.num_batches_tracked"]) == 16  # epochs three and four


@pytest.mark.parametrize(
    ("callbacks", "settings", "expected"),
    [
        (frozen("feature"), {}, r"callbacks\.freeze\.parts: expected .* parts of features, classifier; received feature"),
        (frozen("features", "classifier"), {}, "expected weights that are left to train; these are all 10 weights"),
        (frozen("features", until=1), {"devices": 2}, r"until=1: expected null in a training of 2 processes"),
    ],
)
def test_what_cannot_be_frozen_is_refused_before_the_training(images, callbacks, settings, expected):
    with pytest.raises(InputError, match=expected):
        make_learner(data := images(), callbacks, **settings).check(data)


@pytest.mark.parametrize(
    ("until", "refused"), [(None, False), (2, True), ({"layers.2": 2}, True)], ids=["for good", "for a time", "by part"]
)
def test_a_batch_of_one_suits_frozen_batch_normalisation(images, until, refused):
    data = images(121)  # the last batch of sixteen has a single example
    normalised = partial(FNN, input_shape=(1, 8, 8), hidden=[8], num_outputs=3, batch_norm=True)
    learner = network(data, model=normalised, callbacks=frozen("layers.1", "layers.2", until=until))
    names = [name for name, module in learner.task.model.named_modules() if isinstance(module, nn.BatchNorm1d)]
    assert names == ["layers.2"]
    if refused:
        with pytest.raises(InputError, match="the last batch of an epoch has a single example"):
            learner.check(data)
    else:
        assert learner.check(data).flops


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"parts": []}, "parts: expected"),
        ({"parts": ["a"], "until": 0}, "until: expected a number of epochs from 1"),
        ({"parts": ["a"], "until": {"a": None}}, "until: expected a number of epochs from 1"),
        ({"parts": ["a"], "until": {"b": 2}}, r"until: expected something in \['a'\]; received b"),
    ],
)
def test_settings_out_of_range_are_refused(settings, expected):
    with pytest.raises(ValueError, match=expected):
        Freezing(**settings)


def test_a_frozen_part_keeps_its_statistics_where_weights_are_averaged(images, tmp_path):
    data = images()
    learner = make_learner(data, frozen("features"), averaging=SWA(start=0.0), metric="val/loss")
    before = {name: tensor.clone() for name, tensor in learner.task.state_dict().items()}
    fit(learner, data, tmp_path / "run")
    kept = weights(tmp_path / "run", "best.ckpt")
    for name, tensor in before.items():
        assert torch.equal(kept[name], tensor) == name.startswith("model.features"), name
