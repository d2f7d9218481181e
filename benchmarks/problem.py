"""One training problem, for the platform's command line and for the bare loop: same data, weights, order and steps."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from benchmarks.data import usual
from src.config import assembly, command_line
from src.data.order import Order
from src.experiment import Experiment
from src.runs.files import read_json

ROOT = Path(__file__).resolve().parents[1]
MODELS = {"mlp": ("model.hidden=[64,128,64]", "model.batch_norm=true"), "cnn": ("model=cnn", "model.dropout=0.0")}


class Platform:
    """`python -m src.train`, recorded in an MLflow store of its own.

    Args:
        model: mlp or cnn.
        folder: for runs and store.
        data: the arguments that choose the data.
        accelerator: of the Trainer.
        environment: variables of the command, besides this process's.
    """

    def __init__(
        self,
        model: str,
        folder: Path,
        *,
        data: Sequence[str] | None = None,
        accelerator: str = "cpu",
        environment: Mapping[str, str] | None = None,
    ):
        self.model = model
        self.folder = folder
        self._environment = {**os.environ, **(environment or {})}
        chosen = usual() if data is None else data
        self.overrides = ["+experiment=fnn", *chosen, "optimizer.lr=1e-3", f"trainer.accelerator={accelerator}", *MODELS[model]]

    def command(self, *settings: str) -> list[str]:
        paths = [f"paths.runs={self.folder}/runs", f"tracking.uri=sqlite:///{self.folder}/mlflow.db", "tracking.wait=60"]
        return [sys.executable, "-m", "src.train", *self.overrides, *paths, "force=true", *settings]

    def run(self, *settings: str) -> Path:
        """The folder of a new run."""
        done = subprocess.run(
            self.command(*settings), cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.split("run: ")[-1].strip())

    def train(self, *settings: str, epochs: int) -> tuple[float, float]:
        """Seconds an epoch, validation, logging, checkpoints and the record included, and the first validation's loss."""
        run = self.run(*settings, f"trainer.max_epochs={epochs}")
        points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        loss = next(point["value"] for point in points if point["name"] == "val/loss")
        return read_json(run / "timings.json")["fit_seconds"] / epochs, loss

    def build(self, *settings: str) -> Experiment:
        """The experiment, in this process."""
        config = command_line.configure([*self.overrides, *settings])
        prepared = assembly.prepare(config)
        return assembly.build(assembly.complete(config, prepared), prepared)


class Bare:
    """A context manager around the process of the bare loop, for the problem that the platform solves."""

    def __init__(self, platform: Platform, *, epochs: int = 1):
        self._path = platform.folder / "problem.pt"
        experiment = platform.build()
        task: Any = experiment.learner.task  # type: ignore[attr-defined]
        torch.save(
            {
                "model": platform.model,
                "train": _tensors(experiment, "train"),
                "val": _tensors(experiment, "val"),
                "state": _state(task.model, platform.model),
                "orders": _orders(experiment, epochs),
            },
            self._path,
        )

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare", str(self._path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, **request: Any) -> dict[str, Any]:
        """The response of the bare loop: seconds, and the validation losses if it trains."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _tensors(experiment: Experiment, split: str) -> tuple[Tensor, Tensor]:
    """Inputs as the model gets them, and targets."""
    rows = experiment.prepared.index(split)
    pixels = torch.from_numpy(experiment.data.inputs(rows))
    return experiment.learner.task.preprocess(pixels), torch.from_numpy(experiment.data.targets(rows))  # type: ignore[attr-defined]


def _state(network: torch.nn.Module, model: str) -> list[Tensor]:
    """The initial weights as the bare loop's model has them."""
    state = network.state_dict()
    if model == "cnn":  # whose features the platform flattens pixel by pixel, and the bare loop channel by channel
        name = "classifier.1.weight"
        state[name] = state[name].unflatten(1, (7, 7, 64)).permute(0, 3, 1, 2).flatten(1)
    return [tensor.clone() for tensor in state.values()]


def _orders(experiment: Experiment, epochs: int) -> list[Tensor]:
    """The permutation of the training split in each epoch."""
    count = len(experiment.prepared.index("train"))
    order = Order(count, together=count, shuffle=True, seed=experiment.config["seed"])
    return [order.epoch(epoch)[0] for epoch in range(epochs)]
