"""Several processes train one network: the same numbers as one process, and an end for all where one is lost."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from src.config import assembly, composition
from src.data.images import Images
from src.errors import RunFailed
from src.experiment import Experiment
from src.protocols import Fit
from src.runs import checkpoints
from tests.nets import FNN_SMALL, end, fit, network, points, same, values

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("leaves_no_process")]
SMALL = ("trainer.accelerator=cpu", "trainer.progress_bar=false", "trainer.log_every_n_steps=3")
FNN, CNN = ("model.hidden=[8]",), ("model=cnn", "model.width=2", "model.dropout=0.25")
TWO = ("trainer=ddp", "+callbacks.weights._target_=tests.ranks.Weights")


def experiment(data: Images, folder: Path, *overrides: str) -> Experiment:
    """What a command of these overrides trains on the data; the folder holds its configuration, as a run's does."""
    config = composition.compose([*SMALL, "data.shape=null", "data.num_classes=null", "trainer.max_epochs=3", *overrides])
    config = composition.resolve(config, facts=data.prepared.facts)
    folder.mkdir()
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    return assembly.build(config, data.prepared)


def trained(data: Images, folder: Path, *overrides: str) -> Fit:
    built = experiment(data, folder, *overrides)
    return fit(built.learner, built.data, folder)


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (153, ()),
        (151, ("trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.5", "scheduler=one_cycle")),
        (153, ("trainer.max_steps=20", "trainer.max_epochs=null", "trainer.steps_per_call=4", "optimizer=sgd")),
    ],
    ids=["plain", "accumulated and clipped", "an end within an epoch"],
)
def test_two_processes_train_as_one_with_the_doubled_batch(images: Callable[..., Images], tmp_path, count, settings):
    """123 or 121 examples in batches of 8: of the last one, the second process has one example or none."""
    data = images(count)
    two = trained(data, tmp_path / "two", *TWO, *FNN, "data.batch_size=4", *settings)
    one = trained(data, tmp_path / "one", *FNN, "data.batch_size=8", *settings)
    assert (two.steps, two.epochs, two.best_epoch) == (one.steps, one.epochs, one.best_epoch)
    weights = {(tmp_path / "two" / f"weights-{rank}.txt").read_text() for rank in (0, 1)}
    assert len(weights) == 1
    for name, tensor in end(tmp_path / "one")["state_dict"].items():
        assert end(tmp_path / "two")["state_dict"][name].numpy() == pytest.approx(tensor.numpy(), rel=1e-4, abs=1e-6), name
    expected, actual = points(tmp_path / "one"), points(tmp_path / "two")
    assert actual.keys() == expected.keys()
    for key, (epoch, value) in expected.items():
        assert actual[key] == (epoch, pytest.approx(value, rel=1e-5)), key
    assert values(tmp_path / "two", "val/accuracy") == values(tmp_path / "one", "val/accuracy")


def test_gradients_are_added_up_once_a_step(images, tmp_path):
    settings = (
        "trainer.accumulate_grad_batches=3",
        "+callbacks.sums._target_=tests.ranks.Sums",
        "data.batch_size=4",
    )
    result = trained(images(151), tmp_path / "run", *TWO, *FNN, *settings)
    assert result.steps == 3 * 6  # of 16 batches an epoch
    assert [int((tmp_path / "run" / f"sums-{rank}.txt").read_text()) for rank in (0, 1)] == [result.steps] * 2


def test_a_part_with_fewer_examples_than_processes(images, tmp_path):
    data = images(21)  # two examples to validate on
    settings = ("trainer.devices=3", "trainer.max_epochs=1", "data.batch_size=2")
    trained(data, tmp_path / "three", *TWO, *FNN, *settings)
    trained(data, tmp_path / "one", *FNN, "trainer.max_epochs=1", "data.batch_size=6")
    assert values(tmp_path / "three", "val/loss") == pytest.approx(values(tmp_path / "one", "val/loss"), rel=1e-5)


def test_dropout_and_batch_norm_go_on_exactly(images, tmp_path):
    """Each process has random numbers of its own, which a checkpoint holds."""
    data = images(151)
    settings = (*TWO, *CNN, "data.batch_size=4", "trainer.save_every_n_minutes=0.0")
    trained(data, tmp_path / "whole", *settings, "trainer.max_epochs=4")
    built = experiment(data, tmp_path / "first", *settings, "trainer.max_epochs=2")
    fit(built.learner, built.data, tmp_path / "first")
    built = experiment(data, tmp_path / "further", *settings, "trainer.max_epochs=4")
    fit(built.learner, built.data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    assert same(end(tmp_path / "further"), end(tmp_path / "whole"))


def test_parts_that_learn_in_turn_stay_the_same_in_all_processes(images, tmp_path):
    data = images()
    pair = ("model=dcgan", "model.latent_size=4", "model.width=3", "task=adversarial", "optimizer=adam_adversarial")
    fit = trained(data, tmp_path / "two", *TWO, *pair, "data.batch_size=4")
    assert (fit.steps, fit.epochs, fit.best_epoch) == (45, 3, 3)
    weights = {(tmp_path / "two" / f"weights-{rank}.txt").read_text() for rank in (0, 1)}
    assert len(weights) == 1
    assert {int(state["step"]) for state in end(tmp_path / "two")["optimizer_states"][0]["state"].values()} == {45}


def test_views_that_each_process_compares_go_on_exactly(images, tmp_path):
    """Each process changes examples of its own at random; those that are averaged at the end are the same in all."""
    data = images(151)
    views = ("task=contrastive", "model=encoder_projection", "model.hidden=[8]", "model.latent_size=4", "model.num_outputs=3")
    settings = (*TWO, *views, "augmentation=views", "averaging=swa", "data.batch_size=4", "objective.metric=val/loss")
    trained(data, tmp_path / "whole", *settings, "trainer.max_epochs=4")
    built = experiment(data, tmp_path / "first", *settings, "trainer.max_epochs=2")
    fit(built.learner, built.data, tmp_path / "first")
    built = experiment(data, tmp_path / "further", *settings, "trainer.max_epochs=4")
    fit(built.learner, built.data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    assert len(weights(tmp_path / "whole")) == 1
    assert same(end(tmp_path / "further"), end(tmp_path / "whole"))


def test_a_loss_that_is_no_number_in_one_process_ends_all(images, tmp_path):
    spoilt = ("task._target_=tests.ranks.Spoilt", "+task.rank=1", "+task.step=7", "trainer.steps_per_call=4")
    with pytest.raises(RunFailed, match=r"The loss is nan at step 7, in epoch 1"):
        trained(images(151), tmp_path / "run", *TWO, *FNN, *spoilt, "data.batch_size=4")
    assert all(math.isfinite(value) for _, value in points(tmp_path / "run").values())


def weights(folder: Path) -> set[str]:
    return {(folder / f"weights-{rank}.txt").read_text() for rank in (0, 1)}


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_averaged_weights_are_those_of_one_process(images, tmp_path, averaging):
    data = images(153)
    settings = (f"averaging={averaging}", "trainer.max_epochs=4")
    trained(data, tmp_path / "two", *TWO, *FNN, *settings, "data.batch_size=4")
    trained(data, tmp_path / "one", *FNN, *settings, "data.batch_size=8")
    assert len(weights(tmp_path / "two")) == 1
    one, two = (checkpoints.read(tmp_path / name / "last.ckpt")["averaging"]["weights"] for name in ("one", "two"))
    for name, tensor in one.items():
        assert two[name].numpy() == pytest.approx(tensor.numpy(), rel=1e-4, abs=1e-6), name
    assert values(tmp_path / "two", "val/loss") == pytest.approx(values(tmp_path / "one", "val/loss"), rel=1e-5)


def test_a_step_that_one_process_cannot_take_is_left_out_by_all(images, tmp_path):
    spoilt = ("task._target_=tests.ranks.Spoilt", "+task.rank=1", "+task.step=7", "divergence=skip")
    trained(images(151), tmp_path / "run", *TWO, *CNN, *spoilt, "data.batch_size=4", "trainer.log_every_n_steps=1")
    assert len(weights(tmp_path / "run")) == 1
    assert values(tmp_path / "run", "train/skipped")[-1] == 1
    assert all(tensor.isfinite().all() for tensor in end(tmp_path / "run")["state_dict"].values())


def test_all_go_back_when_one_diverges(images, tmp_path):
    spoilt = ("task._target_=tests.ranks.Spoilt", "+task.rank=1", "+task.step=24", "divergence=roll_back")
    result = trained(images(151), tmp_path / "run", *TWO, *FNN, *spoilt, "data.batch_size=4", "trainer.log_every_n_steps=1")
    assert len(weights(tmp_path / "run")) == 1
    assert values(tmp_path / "run", "train/rolled_back") == [1]
    assert result.epochs == 3
    assert [step for name, step in points(tmp_path / "run") if name == "train/loss"] == list(range(1, result.steps + 1))


def test_memory_that_is_short_in_one_process_makes_all_take_smaller_pieces(images, tmp_path):
    data = images(153)
    greedy = ("model._target_=tests.ranks.Greedy", "+model.rank=1", "+model.limit=3", "trainer.auto_micro_batch=true")
    trained(data, tmp_path / "short", *TWO, *FNN, *greedy, "data.batch_size=4")
    trained(data, tmp_path / "whole", *TWO, *FNN, "data.batch_size=4")
    assert len(weights(tmp_path / "short")) == 1
    assert values(tmp_path / "short", "train/micro_batch") == [2]
    for name, tensor in end(tmp_path / "whole")["state_dict"].items():
        actual = end(tmp_path / "short")["state_dict"][name]
        assert actual.numpy() == pytest.approx(tensor.numpy(), rel=1e-4, abs=1e-6), name
    assert values(tmp_path / "short", "train/loss") == pytest.approx(values(tmp_path / "whole", "train/loss"), rel=1e-5)


@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
def test_initial_weights_frozen_parts_and_rates_are_those_of_one_process(images, tmp_path, trainer):
    data = images(153)
    begun = network(data, model=partial(FNN_SMALL, hidden=[8, 8]), seed=7)
    begun.export(tmp_path)
    settings = (
        "model.hidden=[8,8]",
        f"pretrained.weights={tmp_path}/weights.safetensors",
        "callbacks=freeze",
        "callbacks.freeze.parts=[layers.1]",
        "task.rates={layers.3:0.5}",
        "scheduler=one_cycle",
    )
    trained(data, tmp_path / "two", f"trainer={trainer}", *settings, "data.batch_size=4")
    trained(data, tmp_path / "one", *settings, "data.batch_size=8")
    two = end(tmp_path / "two")["state_dict"]
    for name, tensor in end(tmp_path / "one")["state_dict"].items():
        assert two[name].numpy() == pytest.approx(tensor.numpy(), rel=1e-4, abs=1e-6), name
        same_as_begun = torch.equal(two[name], begun.task.state_dict()[name])
        assert same_as_begun == name.startswith("model.layers.1."), name
