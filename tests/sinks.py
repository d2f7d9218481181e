"""Where tests send the metrics of a training."""

from collections.abc import Mapping
from typing import Any

from src.protocols import Sink


class ListSink(Sink):
    """Keeps what is logged.

    Args:
        stop_after: so many validations, after which it asks to stop.
    """

    def __init__(self, *, stop_after: int | None = None):
        self.metrics: list[dict[str, Any]] = []
        self._stop_after = stop_after

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        self.metrics.append(dict(metrics))

    def flush(self) -> None:
        """Does nothing."""

    @property
    def should_stop(self) -> bool:
        return sum("val/loss" in metrics for metrics in self.metrics) == self._stop_after
