"""What tests of several processes need within each of them."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from src.models.fnn import FNN
from src.protocols import Batch, Outcome
from src.tasks.classification import Classification


class Weights(Callback):
    """Leaves a hash of each process's weights in the run folder."""

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        text = b"".join(parameter.detach().numpy().tobytes() for parameter in module.parameters())
        path = Path(trainer.default_root_dir) / f"weights-{trainer.global_rank}.txt"
        path.write_text(hashlib.sha256(text).hexdigest())


class Sums(Callback):
    """Leaves in the run folder how often the processes have added their gradients up."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        def counted(state: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
            self.count += bucket.is_last()
            return allreduce_hook(None, bucket)

        model: Any = trainer.strategy.model
        model.register_comm_hook(None, counted)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        (Path(trainer.default_root_dir) / f"sums-{trainer.global_rank}.txt").write_text(str(self.count))


class Slow(Callback):
    """Takes its time over each epoch in the first attempts of a job, and none where no job runs."""

    def __init__(self, *, seconds: float = 0.5, attempts: int = 2):
        self.seconds, self.attempts = seconds, attempts

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if "SLURM_JOB_ID" in os.environ and int(os.environ.get("SLURM_RESTART_COUNT", 0)) < self.attempts:
            time.sleep(self.seconds)


class Spoilt(Classification):
    """A loss that is not a number at one step of one process."""

    def __init__(self, *, rank: int, step: int, **common: Any):
        super().__init__(**common)
        self.rank, self.left = rank, step

    def step(self, batch: Batch) -> Outcome:
        outcome = super().step(batch)
        if self.training:
            self.left -= 1
        spoilt = self.left == 0 and self.rank == int(os.environ.get("RANK", 0))
        return outcome._replace(loss=outcome.loss * float("nan")) if spoilt else outcome


class Greedy(FNN):
    """A dense net that finds no memory in one process, at more examples than a number."""

    def __init__(self, *, rank: int, limit: int, **sizes: Any):
        super().__init__(**sizes)
        self.mine, self.limit = rank == int(os.environ.get("RANK", 0)), limit

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.mine and len(x) > self.limit:
            torch.empty(2**50, dtype=torch.uint8)
        return super().forward(x)


class Shares(Callback):
    """Leaves the number of weights that each process holds in the run folder."""

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        held = sum(parameter.to_local().numel() for parameter in module.parameters())
        (Path(trainer.default_root_dir) / f"shares-{trainer.global_rank}.txt").write_text(str(held))
