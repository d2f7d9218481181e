"""The one logger of a run: hands every metric to the sink, as tensors, without waiting for anything."""

from collections.abc import Callable, Mapping

from lightning.pytorch.loggers import Logger
from torch import Tensor

from src.protocols import Sink


class RecordLogger(Logger):
    """Hands metrics to the sink.

    Args:
        epoch: gives the epoch, counted from 1.
    """

    def __init__(self, sink: Sink, epoch: Callable[[], int]):
        super().__init__()
        self._sink = sink
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
        if values and step is not None:
            self._sink.log(values, step, self._epoch())
