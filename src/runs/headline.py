"""The headline of a run: the metrics of each split that its evaluation names first."""

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


def scores(config: Mapping[Any, Any], metrics: Mapping[str, Value]) -> dict[str, Value]:
    """The headline's metrics among those of a run, by split."""
    names = (f"{split}/{name}" for split in ("val", "test") for name in config["evaluation"]["headline"])
    return {name: metrics[name] for name in names if name in metrics}
