"""What a task adds up on its device until a step is logged or an epoch ends: losses in training, metrics in validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class LossState:
    """The training losses since the last logged step, and those of the epoch.

    Args:
        ignore_nan: whether means leave out losses that are not numbers; otherwise one of them makes the mean NaN.
    """

    def __init__(self, *, ignore_nan: bool):
        self._ignore_nan = ignore_nan
        self._recent: list[Tensor] = []
        self._epoch: list[Tensor] = []  # a tensor for each block

    def add(self, losses: Sequence[Tensor]) -> None:
        """Adds the losses of a step, (), for the next logged mean."""
        self._recent += losses

    def recent_mean(self) -> Tensor:
        """The mean since the last call."""
        mean = self._mean(torch.stack(self._recent))
        self._recent.clear()
        return mean

    def add_block(self, losses: Tensor) -> None:
        """Adds a block's losses for the epoch's mean, (count,). They are means over all processes.

        They also replace the block's own recent losses, so that a checkpoint holds what is true of every process.
        """
        self._epoch.append(losses)
        if count := min(len(self._recent), len(losses)):
            self._recent[-count:] = losses[-count:].unbind()

    def epoch_mean(self) -> Tensor | None:
        """The mean of the epoch, which ends by this call; None where it had no losses."""
        mean = self._mean(torch.cat(self._epoch)) if self._epoch else None
        self._epoch.clear()
        return mean

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"recent": list(self._recent), "epoch": list(self._epoch)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes what a checkpoint holds."""
        self._recent, self._epoch = state["recent"], state["epoch"]

    def to(self, device: torch.device) -> None:
        """Moves the losses. Those of a checkpoint come back on the CPU."""
        self._recent = [loss.to(device) for loss in self._recent]
        self._epoch = [block.to(device) for block in self._epoch]

    def _mean(self, losses: Tensor) -> Tensor:
        return losses.where(losses.isfinite(), torch.nan).nanmean() if self._ignore_nan else losses.mean()


class MetricState:
    """Sums of statistics over batches, from which metrics are computed."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def update(self, statistics: Mapping[str, Tensor | int], *, counts: bool) -> None:
        """Adds a batch's statistics.

        Args:
            counts: whether the batch counts; one that does not only makes the names known.
        """
        device = next(value.device for value in statistics.values() if isinstance(value, Tensor))
        for name, value in statistics.items():
            addend = torch.as_tensor(value, dtype=torch.float64, device=device)
            addend = addend if counts else torch.zeros_like(addend)
            self._sums[name] = self._sums[name] + addend if name in self._sums else addend

    def sums(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The sums in float64, which start again at zero.

        Args:
            reduce: the sum over all processes.
        """
        sums, self._sums = self._sums, {}
        return {name: reduce(value) for name, value in sums.items()}
