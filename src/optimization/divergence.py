"""What is done when a training diverges: its loss, or a gradient, is not a number, or the loss leaps up."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor

from src.errors import RunFailed

SEEN = 20  # losses without which none is called a leap


class RolledBack(Exception):
    """Ends a fit, which then goes on from the last good checkpoint."""


class Policy(ABC):
    """What is done. Every process of a training sees the same losses, and comes to the same answer.

    `guards`: whether each update is looked at before it is taken. `returns`: whether the checkpoint is kept that one goes
    back to. `rate`: what learning rates are multiplied by. `lead`: by how much the number of a step in the record exceeds
    that of the optimizer, which takes some steps twice.
    """

    guards, returns = False, False
    rate, lead = 1.0, 0

    @abstractmethod
    def first(self, losses: Tensor) -> int | None:
        """The place of the first of a block's losses that says that the training has diverged; None where it has not."""

    @abstractmethod
    def answer(self, what: str, value: float, *, step: int, taken: int, epoch: int) -> Exception:
        """What ends the fit.

        Args:
            what: the value is.
            step: that it came with.
            taken: steps that were taken meanwhile.
        """

    @abstractmethod
    def news(self) -> dict[str, Tensor]:
        """Metrics that have changed since they were asked for the last time."""

    @abstractmethod
    def state(self) -> dict[str, Any]: ...

    @abstractmethod
    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """Goes on from a state, which may be empty, at a step of the optimizer."""


class Stop(Policy):
    """Ends the run at a loss that is not a number."""

    def first(self, losses: Tensor) -> int | None:
        return _first_unreal(losses)

    def answer(self, what: str, value: float, *, step: int, taken: int, epoch: int) -> Exception:
        return _failure(what, value, step, epoch)

    def news(self) -> dict[str, Tensor]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """It has none."""


class Ignore(Policy):
    """Goes on. It is for a training whose sink looks at the losses, as the search for a learning rate does."""

    def first(self, losses: Tensor) -> int | None:
        return None

    def answer(self, what: str, value: float, *, step: int, taken: int, epoch: int) -> Exception:
        return _failure(what, value, step, epoch)

    def news(self) -> dict[str, Tensor]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """It has none."""


class Skip(Policy):
    """Leaves out the update of a step whose loss or gradient is not a number.

    The step counts for schedules and ends; what the forward pass did to buffers, such as the averages of batch
    normalisation, is taken back.

    Args:
        limit: so many in a row end the run.
    """

    guards = True

    def __init__(self, *, limit: int):
        if limit < 1:
            raise ValueError(f"limit: expected 1 or more; received {limit}.")
        self._limit = limit
        self._told = 0
        self._total, self._row, self._longest = torch.tensor([0, 0, 0]).unbind()

    def note(self, skipped: Tensor) -> None:
        """Whether a step was left out, as a tensor that is not looked at before the block ends."""
        self._total = self._total + skipped
        self._row = (self._row + 1) * skipped
        self._longest = torch.maximum(self._longest.to(skipped.device), self._row)

    def first(self, losses: Tensor) -> int | None:
        longest, self._longest = int(self._longest), self._row
        return len(losses) - 1 if longest >= self._limit else None

    def answer(self, what: str, value: float, *, step: int, taken: int, epoch: int) -> Exception:
        if what != "loss":  # of a step
            return _failure(what, value, step, epoch)
        return RunFailed(
            f"{int(self._total)} updates were left out up to step {step}, in epoch {epoch}, {self._limit} of them in a row; "
            "the last good checkpoint is kept. Lower optimizer.lr, choose divergence=roll_back, or raise divergence.limit."
        )

    def news(self) -> dict[str, Tensor]:
        total, before = int(self._total), self._told
        self._told = total
        return {"train/skipped": torch.tensor(total)} if total != before else {}

    def state(self) -> dict[str, Any]:
        return {"skipped": int(self._total), "row": int(self._row)}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        self._told = state.get("skipped", 0)
        self._total, self._row = torch.tensor(self._told), torch.tensor(state.get("row", 0))
        self._longest = self._row


class RollBack(Policy):
    """Goes back to the last good checkpoint, with a lower learning rate and the same order of the data.

    That is the checkpoint of the epoch's beginning or, within it, of `trainer.save_every_n_steps`. Of what is recorded
    nothing is taken back: the steps that follow have the numbers after those that were taken in vain.

    Args:
        spike: a loss above so many times the median of those before counts too; null for none. It is not asked of
            losses whose median is not positive.
        window: losses that the median is of.
        factor: of the learning rate, each time.
        limit: after so many times the run ends.
        steps: `trainer.save_every_n_steps`, stated again so that the same run means the same checkpoints to go back to.
    """

    returns = True

    def __init__(self, *, factor: float, limit: int, spike: float | None = None, window: int = 100, steps: int | None = None):
        for name, value, fits, expected in (
            ("factor", factor, 0 < factor <= 1, "above 0, up to 1"),
            ("limit", limit, limit >= 1, "1 or more"),
            ("spike", spike, spike is None or spike > 1, "null or more than 1"),
            ("window", window, window >= SEEN, f"{SEEN} or more"),
        ):
            if not fits:
                raise ValueError(f"{name}: expected {expected}; received {value}.")
        self._spike = spike
        self._factor = factor
        self._limit = limit
        self._times = self._told = 0
        self._losses: deque[float] = deque(maxlen=window)
        self._reached: int | None = None  # the number of the last step in the record, between a fit's end and the next

    def first(self, losses: Tensor) -> int | None:
        if self._spike is None:
            return _first_unreal(losses)
        for place, loss in enumerate(losses.tolist()):
            if not math.isfinite(loss) or self._leaps(loss):
                return place
            self._losses.append(loss)
        return None

    def answer(self, what: str, value: float, *, step: int, taken: int, epoch: int) -> Exception:
        if self._times == self._limit:
            return _failure(what, value, step, epoch, f" after going back {self._times} times")
        self._times += 1
        self.rate = self._factor**self._times
        self._reached = taken + self.lead
        return RolledBack(
            f"The {what} is {value:.6g} at step {step}, in epoch {epoch}: back to the last good checkpoint, with the learning "
            f"rate times {self.rate:g} ({self._times} of {self._limit})."
        )

    def news(self) -> dict[str, Tensor]:
        told, self._told = self._told, self._times
        return {"train/rolled_back": torch.tensor(self._times)} if self._times != told else {}

    def state(self) -> dict[str, Any]:
        return {"times": self._times, "lead": self.lead, "losses": [*self._losses]}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        if self._reached is None:
            self._times = self._told = state.get("times", 0)
            self.rate, self.lead = self._factor**self._times, state.get("lead", 0)
        else:
            self.lead = self._reached - step
            self._reached = None
        self._losses.clear()
        self._losses.extend(state.get("losses", []))

    def _leaps(self, loss: float) -> bool:
        assert self._spike is not None
        return len(self._losses) >= SEEN and loss > self._spike * (middle := median(self._losses)) and middle > 0


def _first_unreal(losses: Tensor) -> int | None:
    finite = torch.isfinite(losses)
    return None if finite.all() else int((~finite).nonzero()[0])


def _failure(what: str, value: float, step: int, epoch: int, after: str = "") -> RunFailed:
    return RunFailed(
        f"The {what} is {value:.6g} at step {step}, in epoch {epoch}{after}; the last good checkpoint is kept. Lower "
        "optimizer.lr, set trainer.gradient_clip_val=1.0, or let +debug=default name the operation."
    )
