"""Micro-batches where memory is short: the same mean loss, the size is kept, and the allocator really fails."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.optim import Adam

from src.errors import InputError, RunFailed
from src.models.fnn import FNN
from src.optimization.gradient_accumulation import WholeBatches
from src.runs import checkpoints
from tests.nets import CNN_SMALL, PLAIN_SGD, end, everything, fit, network, points, same, values
from tests.repository import ROOT, environment


class Greedy(nn.Module):
    """A net that needs too much memory for more than `limit` examples, in its forward or backward pass."""

    def __init__(self, model: Any, *, limit: int, backward: bool = False, first: int = 1):
        super().__init__()
        self.inner, self.limit, self.backward, self.left = model(), limit, backward, first

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        if self.training and len(x) > self.limit:
            self.left -= 1
            if self.left <= 0 and self.backward:
                logits.register_hook(lambda _: exhaust())
            elif self.left <= 0:
                exhaust()
        return logits


def exhaust() -> None:
    torch.empty(2**50, dtype=torch.uint8)  # a pebibyte: the allocator itself fails


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("limit", "size"), [(8, 8), (7, 4), (1, 1)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_micro_batches_give_the_losses_and_weights_of_the_whole_batch(images, tmp_path, backward, limit, size, accumulate):
    data = images(150)
    common = {"accumulate_grad_batches": accumulate, "max_epochs": 3}
    plain = partial(FNN, input_shape=(1, 8, 8), hidden=[8], num_outputs=3)
    greedy = partial(Greedy, plain, limit=limit, backward=backward, first=4)
    fit(network(data, model=greedy, auto_micro_batch=True, **common), data, tmp_path / "micro")
    fit(network(data, model=partial(Greedy, plain, limit=99), **common), data, tmp_path / "whole")
    one, other = (end(tmp_path / name) for name in ("micro", "whole"))
    assert one["global_step"] == other["global_step"]
    for name, tensor in one["state_dict"].items():
        assert torch.allclose(tensor, other["state_dict"][name], atol=1e-6), name
    for name in ("train/loss", "train/loss_epoch", "val/loss"):
        assert values(tmp_path / "micro", name) == pytest.approx(values(tmp_path / "whole", name), rel=1e-5)
    assert values(tmp_path / "micro", "train/micro_batch")[-1] == size
    assert checkpoints.read(tmp_path / "micro" / "last.ckpt")["micro_batch"] == size


@pytest.mark.slow
def test_a_step_that_ran_out_of_memory_is_repeated_from_its_beginning(images, tmp_path, capsys):
    """Dropout, augmentation and batch normalisation are as if the size had been known from the start."""
    data = images()
    common = {"augmentation": everything(), "optimizer": partial(Adam, lr=0.01), "auto_micro_batch": True}
    greedy = partial(Greedy, CNN_SMALL, limit=8)
    fit(network(data, model=greedy, **common), data, tmp_path / "reduced")
    assert capsys.readouterr().err.count("memory: too short for a batch at once; 8 examples at a time from here on.") == 1
    known = network(data, model=greedy, **common)
    known.task._micro_batch_size = 8
    fit(known, data, tmp_path / "known")
    assert same(end(tmp_path / "reduced"), end(tmp_path / "known"))
    actual = points(tmp_path / "reduced")
    assert actual.pop(("train/micro_batch", 0)) == (1, 8)
    assert actual == points(tmp_path / "known")


def test_memory_that_suffices_changes_nothing(images, tmp_path):
    data = images()
    fit(network(data, model=CNN_SMALL), data, tmp_path / "off")
    fit(network(data, model=CNN_SMALL, auto_micro_batch=True), data, tmp_path / "on")
    assert same(end(tmp_path / "on"), end(tmp_path / "off"))
    assert points(tmp_path / "on") == points(tmp_path / "off")


def test_a_continued_training_keeps_the_size(images, tmp_path, capsys):
    data = images()
    settings = {"model": partial(Greedy, CNN_SMALL, limit=4), "auto_micro_batch": True}
    fit(network(data, max_epochs=1, **settings), data, tmp_path / "first")
    fit(network(data, max_epochs=2, **settings), data, tmp_path / "whole")
    capsys.readouterr()
    fit(network(data, max_epochs=2, **settings), data, tmp_path / "further", resume=tmp_path / "first" / "last.ckpt")
    assert capsys.readouterr().err == ""  # the size is known
    assert same(end(tmp_path / "further"), end(tmp_path / "whole"))


def test_without_memory_for_one_example_the_run_ends(images, tmp_path):
    data = images()
    learner = network(data, model=partial(Greedy, CNN_SMALL, limit=0), auto_micro_batch=True)
    with pytest.raises(RunFailed, match=r"Out of memory in step 1, even with one example at a time: .*allocate.*smaller model"):
        fit(learner, data, tmp_path / "run")


def test_other_errors_and_other_runs_are_not_affected(images, tmp_path):
    data = images()
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        fit(network(data, model=partial(Greedy, CNN_SMALL, limit=8)), data, tmp_path / "off")
    learner = network(data, model=CNN_SMALL, auto_micro_batch=True)
    learner.task.model.register_forward_hook(lambda net, inputs, logits: logits @ torch.ones(9, 9) if net.training else None)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(learner, data, tmp_path / "wrong")


def test_networks_that_communicate_in_their_forward_pass_are_refused(images, tmp_path):
    data = images()

    def model() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.SyncBatchNorm(3))

    with pytest.raises(InputError, match="auto_micro_batch=true: expected one device, or trainer=ddp without"):
        fit(network(data, model=model, auto_micro_batch=True), data, tmp_path / "run")


class Hungry(nn.Module):
    """A net that needs some five megabytes for an example until its backward pass is over."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def forward(self, x: Tensor) -> Tensor:
        copies = x.flatten(1).repeat(1, 5_000).requires_grad_(self.training)
        return self.layer(x) + 1e-9 * copies.square().mean(dim=1, keepdim=True)


def main(folder: Path, limit: int) -> None:
    """Trains in a process that may allocate `limit` more megabytes than its imports did."""
    import resource

    import psutil

    from src.data import store
    from src.data.images import Images
    from tests.pictures import Arrays, noise

    source = Arrays(*noise(300, shape=(1, 8, 8), num_classes=3), num_classes=3)
    split = {"val": 0.1, "test": 0.1, "seed": 0}
    prepared = store.prepare(folder / "data", source, name="noise", split=split, max_duplicates=0.0)
    data = Images(prepared=prepared, shape=[1, 8, 8], num_classes=3, batch_size=64)
    settings = {"model": Hungry, "optimizer": PLAIN_SGD, "max_epochs": 1, "limit_batches": 2}
    fit(network(data, **settings), data, folder / "whole")
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + limit * 2**20, resource.RLIM_INFINITY))
    fit(network(data, auto_micro_batch=True, **settings), data, folder / "short")


def test_alternating_updates_are_refused_under_a_strategy_of_another_kind():
    class Other(DDPStrategy):
        world_size = 2

    task: Any = SimpleNamespace(trainer=SimpleNamespace(strategy=Other()))
    optimizer_step: Any = SimpleNamespace(parameters=[], zero_grad=None)
    with pytest.raises(InputError, match="or trainer=ddp; SimpleNamespace updates its parts alternately, which Other does not"):
        WholeBatches(task, optimizer_step, parts=2)
    WholeBatches(task, optimizer_step, parts=1)  # any strategy supports a single update


@pytest.mark.cluster
def test_a_process_with_limited_memory_uses_micro_batches(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.optimization.test_gradient_accumulation", str(tmp_path), "150"],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "memory: too short for a batch at once" in done.stderr
    size = values(tmp_path / "short", "train/micro_batch")[-1]
    assert size < 64
    assert values(tmp_path / "short", "train/loss") == pytest.approx(values(tmp_path / "whole", "train/loss"), rel=1e-5)
    assert values(tmp_path / "short", "val/loss") == pytest.approx(values(tmp_path / "whole", "val/loss"), rel=1e-5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
