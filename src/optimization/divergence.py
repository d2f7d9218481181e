"""What happens when a training diverges: its loss or a gradient is not a number, or the loss jumps up."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor

from src.errors import RunFailed

FEWEST_LOSSES = 20  # before so many, no loss counts as a spike


class RolledBack(Exception):
    """Ends a fit. The next fit starts from the last good checkpoint."""


class DivergencePolicy(ABC):
    """What happens. All processes of a training see the same losses, and decide alike.

    Attributes:
        checks_updates: whether each update is checked before it changes the weights.
        rolls_back: whether good.ckpt is kept, which a fit can start from again.
        rate_factor: of all learning rates.
        step_offset: by how much the number of a step in the record exceeds that of the optimizer. The optimizer takes some
            steps twice after a rollback.
    """

    checks_updates, rolls_back = False, False
    rate_factor, step_offset = 1.0, 0

    @abstractmethod
    def first_divergence(self, losses: Tensor) -> int | None:
        """The index of the first loss of a block that shows a divergence; None where there is none."""

    @abstractmethod
    def exception(self, what: str, value: float, *, step: int, last_step: int, epoch: int) -> Exception:
        """The exception that ends the fit.

        Args:
            what: the name of the value, such as `loss`.
            step: the step that the value belongs to.
            last_step: of the optimizer so far, which may be later.
        """

    def changed_metrics(self) -> dict[str, Tensor]:
        """The policy's metrics that have changed since the last call."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the policy."""
        return {}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:  # noqa: B027 - most policies have no state
        """Takes a checkpoint's state, which may be empty.

        Args:
            step: optimizer steps of the checkpoint.
        """


class Stop(DivergencePolicy):
    """Ends the run at a loss that is not a number."""

    def first_divergence(self, losses: Tensor) -> int | None:
        return _first_not_finite(losses)

    def exception(self, what: str, value: float, *, step: int, last_step: int, epoch: int) -> Exception:
        return _failure(what, value, step, epoch)


class Ignore(DivergencePolicy):
    """Continues. It is for a training whose sink watches the losses, as the search for a learning rate does."""

    def first_divergence(self, losses: Tensor) -> int | None:
        return None

    def exception(self, what: str, value: float, *, step: int, last_step: int, epoch: int) -> Exception:
        return _failure(what, value, step, epoch)


class Skip(DivergencePolicy):
    """Skips the update of a step whose loss or gradient is not a number.

    The step counts for schedules and for the length of the training. Buffers, such as the averages of batch normalisation, get
    their values of before the step.

    Args:
        limit: the run ends after so many skipped updates in a row.
    """

    checks_updates = True

    def __init__(self, *, limit: int):
        if limit < 1:
            raise ValueError(f"limit: expected 1 or more; received {limit}.")
        self._limit = limit
        self._reported = 0
        self._total, self._row, self._longest = torch.tensor([0, 0, 0]).unbind()

    def count(self, skipped: Tensor) -> None:
        """Counts a step. The tensor says whether its update was skipped; it is not read before the block ends."""
        self._total = self._total + skipped
        self._row = (self._row + 1) * skipped
        self._longest = torch.maximum(self._longest.to(skipped.device), self._row)

    def first_divergence(self, losses: Tensor) -> int | None:
        longest, self._longest = int(self._longest), self._row
        return len(losses) - 1 if longest >= self._limit else None

    def exception(self, what: str, value: float, *, step: int, last_step: int, epoch: int) -> Exception:
        if what != "loss":  # a validation's, which skipping has not prevented
            return _failure(what, value, step, epoch)
        return RunFailed(
            f"{int(self._total)} updates were skipped up to step {step}, in epoch {epoch}, {self._limit} of them in a row; "
            "the last good checkpoint is kept. Lower optimizer.lr, choose divergence=roll_back, or raise divergence.limit."
        )

    def changed_metrics(self) -> dict[str, Tensor]:
        total, before = int(self._total), self._reported
        self._reported = total
        return {"train/skipped": torch.tensor(total)} if total != before else {}

    def state(self) -> dict[str, Any]:
        return {"skipped": int(self._total), "row": int(self._row)}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        self._reported = state.get("skipped", 0)
        self._total, self._row = torch.tensor(self._reported), torch.tensor(state.get("row", 0))
        self._longest = self._row


class RollBack(DivergencePolicy):
    """Goes back to the last good checkpoint, with a lower learning rate and the same order of the data.

    The checkpoint is that of the epoch's beginning or, within the epoch, of `trainer.save_every_n_steps`. The record keeps the
    steps before a rollback; later steps have higher numbers.

    Args:
        spike: a loss above so many times the median of the losses before it counts too; null for none. It is not used where
            the median is not positive.
        window: losses of the median.
        factor: of the learning rate, each time.
        limit: the run ends after so many rollbacks.
        steps: `trainer.save_every_n_steps`, stated again so that the same run means the same checkpoints.
    """

    rolls_back = True

    def __init__(self, *, factor: float, limit: int, spike: float | None = None, window: int = 100, steps: int | None = None):
        for name, value, fits, expected in (
            ("factor", factor, 0 < factor <= 1, "above 0, up to 1"),
            ("limit", limit, limit >= 1, "1 or more"),
            ("spike", spike, spike is None or spike > 1, "null or more than 1"),
            ("window", window, window >= FEWEST_LOSSES, f"{FEWEST_LOSSES} or more"),
        ):
            if not fits:
                raise ValueError(f"{name}: expected {expected}; received {value}.")
        self._spike = spike
        self._factor = factor
        self._limit = limit
        self._times = self._reported = 0
        self._losses: deque[float] = deque(maxlen=window)
        self._reached: int | None = None  # the number of the last step in the record, between a fit's end and the next one

    def first_divergence(self, losses: Tensor) -> int | None:
        if self._spike is None:
            return _first_not_finite(losses)
        for index, loss in enumerate(losses.tolist()):
            if not math.isfinite(loss) or self._is_spike(loss):
                return index
            self._losses.append(loss)
        return None

    def exception(self, what: str, value: float, *, step: int, last_step: int, epoch: int) -> Exception:
        if self._times == self._limit:
            return _failure(what, value, step, epoch, f" after {self._times} rollbacks")
        self._times += 1
        self.rate_factor = self._factor**self._times
        self._reached = last_step + self.step_offset
        return RolledBack(
            f"The {what} is {value:.6g} at step {step}, in epoch {epoch}: back to the last good checkpoint, with the learning "
            f"rate times {self.rate_factor:g} ({self._times} of {self._limit})."
        )

    def changed_metrics(self) -> dict[str, Tensor]:
        reported, self._reported = self._reported, self._times
        return {"train/rolled_back": torch.tensor(self._times)} if self._times != reported else {}

    def state(self) -> dict[str, Any]:
        return {"times": self._times, "step_offset": self.step_offset, "losses": [*self._losses]}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        if self._reached is None:
            self._times = self._reported = state.get("times", 0)
            self.rate_factor, self.step_offset = self._factor**self._times, state.get("step_offset", 0)
        else:
            self.step_offset = self._reached - step
            self._reached = None
        self._losses.clear()
        self._losses.extend(state.get("losses", []))

    def _is_spike(self, loss: float) -> bool:
        assert self._spike is not None
        return len(self._losses) >= FEWEST_LOSSES and loss > self._spike * (middle := median(self._losses)) and middle > 0


def _first_not_finite(losses: Tensor) -> int | None:
    finite = torch.isfinite(losses)
    return None if finite.all() else int((~finite).nonzero()[0])


def _failure(what: str, value: float, step: int, epoch: int, after: str = "") -> RunFailed:
    return RunFailed(
        f"The {what} is {value:.6g} at step {step}, in epoch {epoch}{after}; the last good checkpoint is kept. Lower "
        "optimizer.lr, set trainer.gradient_clip_val=1.0, or let +debug=default name the operation."
    )
