"""Training epochs and predictions of the platform beside the bare loop: same data, weights, order and steps."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from benchmarks import bare
from benchmarks.data import prepared
from benchmarks.pairs import alternate
from src import assembly, command
from src.assembly import Experiment
from src.data.loader import Batches
from src.runs import Run
from src.tracking.record import Record

MLP = ("model.hidden=[64,128,64]", "model.batch_norm=true")
CNN = ("model=cnn", "model.dropout=0.0")


class Stopwatch(Callback):
    """Seconds from the start to the end of the training."""

    seconds = 0.0

    def on_train_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self._start


def epoch(model: Callable[[], nn.Module], *overrides: str, epochs: int, pairs: int = 5) -> dict[str, Any]:
    """An epoch with validation, logging, checkpoints and a record on its way to MLflow, over the bare one."""
    experiment = _experiment(*overrides, f"trainer.max_epochs={epochs}")
    part, val = _tensors(experiment, "train"), _tensors(experiment, "val")
    initial = [tensor.clone() for tensor in experiment.learner.task.model.state_dict().values()]  # type: ignore[attr-defined]
    orders = [_order(experiment, number) for number in range(epochs)]
    losses: dict[str, float] = {}

    def by_platform() -> float:
        made = _experiment(*overrides, f"trainer.max_epochs={epochs}")
        watch = Stopwatch()
        made.learner._callbacks = lambda: [watch]  # type: ignore[attr-defined]
        with tempfile.TemporaryDirectory() as name:
            run = Run(Path(name) / "runs" / "bench")
            config = {**made.config, "tracking": {"uri": f"sqlite:///{name}/mlflow.db", "experiment": "bench", "wait": 60}}
            with run.lock(), Record.of(run, config, made.prepared.card) as record:
                record.begin(flavour="pytorch", device="cpu")
                points: list[float] = []

                def log(metrics: Any, step: int, at: int) -> None:
                    record.log(metrics, step, at)
                    points.extend(float(value) for key, value in metrics.items() if key == "val/loss")

                made.learner.fit(made.data, folder=run.folder, log=log, flush=record.flush, resume=None)
        losses["platform"] = points[-1]
        return watch.seconds / epochs

    def by_bare() -> float:
        net = model()
        with torch.no_grad():
            for tensor, value in zip(net.state_dict().values(), initial, strict=True):
                tensor.copy_(value)
        seconds, losses["bare"] = bare.train(net, part, val, orders)
        return seconds

    found = alternate(by_platform, by_bare, pairs=pairs)
    return {**found, "losses": {key: round(value, 4) for key, value in losses.items()}}


def predict(*, pairs: int = 7) -> dict[str, Any]:
    """Throughput of predictions, conversion to a table's columns included, over the bare forward pass."""
    experiment = _experiment(*MLP)
    rows = experiment.prepared.index("train")
    inputs, _ = _tensors(experiment, "train")
    model = experiment.learner.task.model  # type: ignore[attr-defined]

    def by_platform() -> float:
        start = time.perf_counter()
        for _ in experiment.learner.predict(experiment.data, rows):
            pass
        return time.perf_counter() - start

    return alternate(by_platform, lambda: bare.predict(model, inputs), pairs=pairs)


def _experiment(*overrides: str) -> Experiment:
    config = command.configure(["data=fashion_mnist", "optimizer.lr=1e-3", "trainer.accelerator=cpu", *overrides])
    data = prepared()
    return assembly.build(assembly.complete(config, data), data)


def _tensors(experiment: Experiment, part: str) -> tuple[Tensor, Tensor]:
    rows = experiment.prepared.index(part)
    inputs = torch.from_numpy(experiment.data.normalise(experiment.data.inputs(rows)))
    return inputs, torch.from_numpy(experiment.data.targets(rows))


def _order(experiment: Experiment, number: int) -> Tensor:
    data = experiment.data
    loader = Batches(data.arrays, data.rows("train")[:1], batch_size=1, shuffle=True, seed=experiment.config["seed"])
    loader.rows = torch.arange(len(data.rows("train")))
    loader.set_epoch(number)
    return loader._order()
