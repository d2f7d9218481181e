"""A bar of optimizer steps with the last validation's values, where there is a terminal."""

import sys

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm


class Progress(Callback):
    """One bar over the whole training.

    Args:
        total: optimizer steps.
    """

    def __init__(self, total: int):
        self.total = total
        self._bar: tqdm | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._bar = tqdm(total=self.total, initial=trainer.global_step, unit="step", file=sys.stderr, leave=False)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if self._bar is not None:
            self._bar.update(trainer.global_step - self._bar.n)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._bar is not None:
            shown = {name: f"{float(value):.4f}" for name, value in sorted(trainer.callback_metrics.items())}
            self._bar.set_description(f"epoch {trainer.current_epoch + 1}")
            self._bar.set_postfix(shown)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._close()

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
