"""Processes that share a network out among them: the same numbers as one process, and checkpoints like any other's."""

import gc
from collections.abc import Callable

import pytest
import torch
from torch.distributed.tensor import DTensor

from src.data.images import Images
from src.errors import InputError
from src.runs.checkpoints import read
from tests.distributed.test_training import CNN, FNN, experiment, trained
from tests.nets import end, fit, points, same

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("leaves_no_process")]
TWO = ("trainer=fsdp", "data.batch_size=4", "+callbacks.shares._target_=tests.ranks.Shares")
EACH = "trainer.strategy.gathered=1"  # each layer for itself


def close(one, other, *, tolerance: float = 1e-4) -> bool:
    """Whether two checkpoints hold the same within float tolerance."""
    if isinstance(one, torch.Tensor):
        return bool(torch.allclose(one, other, rtol=tolerance, atol=1e-5))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key], tolerance=tolerance) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(close(*pair, tolerance=tolerance) for pair in zip(one, other, strict=True))
    return one == pytest.approx(other, rel=tolerance) if isinstance(one, float) else one == other


@pytest.mark.parametrize(
    "settings",
    [
        ("trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=3", "scheduler=one_cycle"),
        (EACH, "trainer.max_steps=20", "trainer.max_epochs=null", "trainer.steps_per_call=4", "optimizer=sgd"),
        (EACH, "model.hidden=[9,8,7]", "optimizer=adamw", "trainer.gradient_clip_val=0.1"),
        (EACH, "averaging=ema", "divergence=skip"),
    ],
    ids=["accumulated and clipped", "an end within an epoch", "layer by layer", "averaged, and each step looked at"],
)
def test_a_network_that_is_shared_out_trains_as_on_one_process(images: Callable[..., Images], tmp_path, settings):
    data = images(151)
    two = trained(data, tmp_path / "two", *TWO, *FNN, *settings)
    one = trained(data, tmp_path / "one", *FNN, "data.batch_size=8", *(s for s in settings if s != EACH))
    assert (two.steps, two.epochs, two.best_epoch) == (one.steps, one.epochs, one.best_epoch)
    for name in ("last.ckpt", "best.ckpt"):
        actual, expected = end(tmp_path / "two", name), end(tmp_path / "one", name)
        for state in (*actual["optimizer_states"], *expected["optimizer_states"]):
            for group in state["param_groups"]:
                del group["fused"]  # torch has no such kernel of SGD for shares
        assert close(actual, expected), name
    logged = points(tmp_path / "two")
    assert logged.keys() == points(tmp_path / "one").keys()
    for key, (epoch, value) in points(tmp_path / "one").items():
        assert logged[key] == (epoch, pytest.approx(value, rel=1e-4)), key
    gc.collect()
    assert not [one for one in gc.get_objects() if issubclass(type(one), DTensor)]  # what follows has the memory to itself
    shares = [int((tmp_path / "two" / f"shares-{rank}.txt").read_text()) for rank in (0, 1)]
    assert sum(shares) == sum(tensor.numel() for tensor in end(tmp_path / "one")["state_dict"].values())
    assert max(shares) < 0.7 * sum(shares)


def test_it_goes_on_exactly_and_anything_else_goes_on_from_its_checkpoint(images, tmp_path):
    data = images(151)
    settings = (*TWO, *CNN, EACH, "trainer.save_every_n_minutes=0.0", "averaging=ema")
    trained(data, tmp_path / "whole", *settings, "trainer.max_epochs=4")
    built = experiment(data, tmp_path / "first", *settings, "trainer.max_epochs=2")
    fit(built.learner, built.data, tmp_path / "first")
    further = {"fsdp": settings, "ddp": ("trainer=ddp", "data.batch_size=4", *CNN, "averaging=ema")}
    for name, own in further.items():
        built = experiment(data, tmp_path / name, *own, "trainer.max_epochs=4")
        fit(built.learner, built.data, tmp_path / name, resume=tmp_path / "first" / "last.ckpt")
    assert same(end(tmp_path / "fsdp"), end(tmp_path / "whole"))
    averaged = {name: read(tmp_path / name / "last.ckpt")["averaging"] for name in ("whole", *further)}
    assert same(averaged["fsdp"], averaged["whole"])
    assert close(averaged["ddp"], averaged["whole"])
    assert close(end(tmp_path / "ddp"), end(tmp_path / "whole"))


@pytest.mark.filterwarnings("ignore:.*jit.script_method.*:DeprecationWarning")  # torch's compiler imports it
def test_a_compiled_network_is_refused(images, tmp_path):
    with pytest.raises(InputError, match=r"trainer\.compile: expected null for a sharded network"):
        trained(images(151), tmp_path / "run", *TWO, *FNN, "trainer.compile=default")


def test_micro_batches_that_memory_asks_for_are_refused(images, tmp_path):
    with pytest.raises(InputError, match="expected one device, or trainer=ddp"):
        trained(images(32), tmp_path / "two", *TWO, *FNN, "trainer.auto_micro_batch=true")


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_on_gpus(images, tmp_path):
    data = images(151)
    for name, settings in {"fsdp": (*TWO, EACH), "ddp": ("trainer=ddp", "data.batch_size=4")}.items():
        trained(data, tmp_path / name, *settings, *FNN, "trainer.accelerator=gpu")
    assert close(end(tmp_path / "fsdp"), end(tmp_path / "ddp"), tolerance=1e-3)
