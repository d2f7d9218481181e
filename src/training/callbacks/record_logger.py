"""The one logger of a run: hands every metric to the sink, as tensors, without waiting for anything."""

from collections.abc import Callable, Mapping

from lightning.pytorch.loggers import Logger
from torch import Tensor

from src.protocols import Sink


class RecordLogger(Logger):
    """Hands metrics to the sink.

    Args:
        step: gives the optimizer step. That which Lightning states counts blocks, for what a callback logs too.
        epoch: gives the epoch, counted from 1.
    """

    def __init__(self, sink: Sink, *, step: Callable[[], int], epoch: Callable[[], int]):
        super().__init__()
        self._sink = sink
        self._step = step
        self._epoch = epoch

    @property
    def name(self) -> str:
        return "record"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None:
        """The record holds the configuration already."""

    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        values = {name: value for name, value in metrics.items() if name != "epoch"}  # Lightning adds it to all
        if values:
            self._sink.log(values, self._step(), self._epoch())
