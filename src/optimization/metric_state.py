"""What a task adds up on its device until a step is logged, or an epoch ends: losses in training, metrics in validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Losses:
    """The losses since the last logged step, and those of the epoch.

    Args:
        partial: whether some may be no numbers, which do not count; else they make the mean none.
    """

    def __init__(self, *, partial: bool):
        self._partial = partial
        self._recent: list[Tensor] = []
        self._epoch: list[Tensor] = []  # a tensor for each block

    def add(self, losses: Sequence[Tensor]) -> None:
        self._recent += losses

    def recent(self) -> Tensor:
        """The mean since the last time."""
        mean = self._mean(torch.stack(self._recent))
        self._recent.clear()
        return mean

    def keep(self, block: Tensor) -> None:
        """Keeps a block's losses, those of all processes: a checkpoint holds what is true of every process."""
        self._epoch.append(block)
        if count := min(len(self._recent), len(block)):
            self._recent[-count:] = block[-count:].unbind()

    def epoch(self) -> Tensor | None:
        """The mean of the epoch, which is over with it; None where it had no losses."""
        mean = self._mean(torch.cat(self._epoch)) if self._epoch else None
        self._epoch.clear()
        return mean

    def state(self) -> dict[str, Any]:
        return {"recent": list(self._recent), "epoch": list(self._epoch)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._recent, self._epoch = state["recent"], state["epoch"]

    def to(self, device: torch.device) -> None:
        """A checkpoint's tensors come back on the CPU."""
        self._recent = [loss.to(device) for loss in self._recent]
        self._epoch = [block.to(device) for block in self._epoch]

    def _mean(self, losses: Tensor) -> Tensor:
        return losses.where(losses.isfinite(), torch.nan).nanmean() if self._partial else losses.mean()


class Sums:
    """Metrics as numerators and denominators."""

    def __init__(self) -> None:
        self._pairs: dict[str, Tensor] = {}

    def add(self, measured: Mapping[str, tuple[Tensor, Tensor | int]], *, count: bool) -> None:
        """Adds a batch's; without effect on their values where it does not count."""
        for name, (numerator, denominator) in measured.items():
            pair = torch.stack([numerator.double(), torch.as_tensor(denominator, device=numerator.device).double()])
            pair = pair if count else torch.zeros_like(pair)
            self._pairs[name] = self._pairs[name] + pair if name in self._pairs else pair

    def ratios(self, together: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The metrics, after which it begins anew. Of several ratios it is the mean; those of 0 to 0 do not count.

        Args:
            together: the sum of all processes.
        """
        pairs, self._pairs = self._pairs, {}
        found = {name: together(pair) for name, pair in pairs.items()}
        return {name: (numerator / denominator).nanmean().float() for name, (numerator, denominator) in found.items()}
