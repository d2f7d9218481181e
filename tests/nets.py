"""Small networks under a real Trainer, and what a training leaves in its folder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import kornia.augmentation
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from src.data.augmentation import Augmentation
from src.data.images import Images
from src.data.mixing import Cutmix, Mixup
from src.models.cnn import CNN
from src.models.fnn import FNN
from src.optimization.metric_state import MetricState
from src.optimization.settings import Optimization
from src.protocols import Fit, Objective, Outcome
from src.runs import checkpoints
from src.tasks.base import Task
from src.tasks.classification import Classification
from src.tracking.journal import Journal, read
from src.training.learner import NetworkLearner

CNN_SMALL = partial(CNN, input_shape=(1, 8, 8), width=2, num_outputs=3, dropout=0.25)
FNN_SMALL = partial(FNN, input_shape=(1, 8, 8), hidden=[8], num_outputs=3)
PLAIN_SGD = partial(SGD, lr=0.05)
ONE_CYCLE = partial(OneCycleLR, max_lr=0.02)


def everything() -> Augmentation:
    """One step of each kind, with everything that draws at random."""
    return Augmentation(
        affine=kornia.augmentation.RandomAffine(degrees=20.0, translate=[0.2, 0.2], scale=[0.8, 1.2], p=0.9),
        flip=kornia.augmentation.RandomHorizontalFlip(),
        colour=kornia.augmentation.ColorJitter(brightness=0.2, contrast=0.2, p=0.5),
        erasing=kornia.augmentation.RandomErasing(),
        mixup=Mixup(alpha=0.2),
        cutmix=Cutmix(alpha=1.0),
    )


def optimization(**settings: Any) -> Optimization:
    """Plain gradient descent, but for these settings."""
    return Optimization(**{"optimizer": PLAIN_SGD, "objective": Objective("val/loss", "min"), **settings})


def network(
    data: Images,
    *,
    model: Callable[[], nn.Module] = FNN_SMALL,
    optimizer: Callable[..., Any] = PLAIN_SGD,
    scheduler: Callable[..., Any] | None = None,
    callbacks: Callable[[], list[Callback]] = list,
    metric: str = "val/accuracy",
    task: Callable[..., Any] = Classification,
    **settings: Any,
) -> NetworkLearner:
    return NetworkLearner.from_settings(
        model=model,
        task=task,
        callbacks=callbacks,
        data=data,
        optimizer=optimizer,
        scheduler=scheduler,
        objective=Objective(metric, "max"),
        **{"seed": 0, "max_epochs": 2, "accelerator": "cpu", "progress_bar": False, "log_every_n_steps": 1, **settings},
    )


def fit(learner: NetworkLearner, data: Images, folder: Path, *, resume: Path | None = None) -> Fit:
    folder.mkdir(exist_ok=True)
    journal = Journal(folder / "metrics.jsonl")
    try:
        result = learner.fit(data, folder=folder, sink=journal, resume=resume)
    except BaseException:
        journal._file.close()  # points that were not flushed are lost, as when the process is killed
        raise
    journal.close()
    return result


def metrics(task: Task, *outcomes: Outcome) -> dict[str, float]:
    """What a task's metrics are over some batches."""
    sums = MetricState()
    for outcome in outcomes:
        sums.update({"batches": torch.tensor(1), **task.measure(outcome)}, counts=True)
    return {name: float(value) for name, value in task.scores(sums.sums(lambda value: value)).items()}


def points(folder: Path) -> dict[tuple[str, int], tuple[int, float]]:
    """Epoch and value by name and step."""
    logged = list(read(folder / "metrics.jsonl"))
    by_key = {(point["name"], point["step"]): (point["epoch"], point["value"]) for point in logged}
    assert len(by_key) == len(logged), "a point is logged once"
    return by_key


def values(folder: Path, name: str) -> list[float]:
    """The values of a metric, by step."""
    ordered = sorted(points(folder).items(), key=lambda item: item[0][1])
    return [value for (metric, _), (_, value) in ordered if metric == name]


def same(one: Any, other: Any) -> bool:
    """Whether two nested containers are equal, tensors bit by bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def end(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    """The weights at the end of a training, and the states of optimizer and scheduler."""
    content = checkpoints.read(folder / name)
    return {key: content[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")}
