"""What tests of several processes need within each of them."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from src.models.fnn import FNN
from src.protocols import Batch, Outcome
from src.tasks.classification import Classification


class Weights(Callback):
    """Leaves a hash of each process's weights in the run folder."""

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        text = b"".join(parameter.detach().numpy().tobytes() for parameter in module.parameters())
        path = Path(trainer.default_root_dir) / f"weights-{trainer.global_rank}.txt"
        path.write_text(hashlib.sha256(text).hexdigest())


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
