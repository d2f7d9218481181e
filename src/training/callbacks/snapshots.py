"""What a generative network makes of the same latents while it learns."""

from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from src.errors import InputError
from src.tasks.base import Task
from src.tasks.generative import SamplesPrior
from src.training.callbacks.base import TrainingCallback

SIDE = 10  # pictures in a line


class Snapshots(TrainingCallback):
    """Draws a grid of samples after validations, with averaged weights where there are some.

    The pictures lie in a folder of their own below the run's figures, because each evaluation replaces the figures themselves.

    Args:
        every: so many epochs; the first one is drawn too.
    """

    def __init__(self, *, every: int):
        if every < 1:
            raise ValueError(f"every: expected 1 or more epochs; received {every}.")
        self._every = every

    def check(self, task: Task, *, processes: int) -> None:
        if not isinstance(task, SamplesPrior):
            raise InputError(
                f"callbacks=snapshots: expected a task that makes examples of random latents; {type(task).__name__} does not. "
                "Choose callbacks=default, or task=variational or task=adversarial with their models."
            )

    @torch.no_grad()
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch, task = trainer.current_epoch + 1, pl_module
        if not trainer.is_global_zero or (epoch > 1 and epoch % self._every):
            return
        noise = torch.randn(SIDE * SIDE, task.model.latent_size, generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr,arg-type]
        images = task.sample(noise.to(task.device)).cpu().numpy()  # type: ignore[operator]
        columns = np.concatenate(np.split(images, SIDE), axis=2)
        grid = (255 * np.concatenate(list(columns), axis=2)).round().astype(np.uint8)
        grey = grid.shape[0] == 1
        folder = Path(trainer.default_root_dir) / "figures" / "training"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid[0] if grey else grid.transpose(1, 2, 0)).save(folder / f"samples_epoch_{epoch:04d}.png")
