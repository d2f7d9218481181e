"""Ends a training when its sink asks for it."""

from lightning.pytorch import Callback, LightningModule, Trainer

from src.protocols import Sink


class StopRequested(Exception):
    """Ends a fit. What it has done so far is as after an interruption: last.ckpt holds the beginning of the last epoch."""


class SinkStopping(Callback):
    """Asks the sink whether to stop: after each validation, or after each call of the loop in a training without validations.

    The first process asks, and all processes stop together. It stands behind the callbacks that act after a validation.
    """

    def __init__(self, sink: Sink):
        self._sink = sink

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ask(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if not trainer.enable_validation:
            self._ask(trainer)

    def _ask(self, trainer: Trainer) -> None:
        wish = trainer.is_global_zero and self._sink.should_stop
        if trainer.strategy.reduce_boolean_decision(wish, all=False):
            raise StopRequested
