"""The loaders of a training: which batches its epochs have, and how they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from src.data import columns
from src.data.base import Data
from src.data.loader import Batches
from src.data.loading import Loading
from src.data.order import Order
from src.distributed import processes

BLOCK_BYTES = 32 * 2**20  # of examples that one call of Lightning's loop may get


@dataclass(frozen=True)
class Loaders:
    """Makes the loaders of a training.

    Args:
        ranks: processes that share a batch.
        accumulate: batches of an optimizer step.
        spread: whether rows that are not shuffled come in a random sequence, the same in each epoch.
    """

    data: Data
    loading: Loading
    ranks: int
    accumulate: int
    seed: int
    spread: bool = False

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return -(-self.order("train", shuffle=True).batches // self.accumulate)

    @property
    def smallest_batch(self) -> int:
        """The fewest examples that a process has of a training batch."""
        return self.order("train", shuffle=True).smallest(self.ranks)

    def examples(self, train: Batches, steps: int) -> int:
        """Training examples of so many optimizer steps."""
        epochs, rest = divmod(steps, -(-train.batches // self.accumulate))
        return train.order.examples(epochs * train.batches + min(rest * self.accumulate, train.batches))

    def order(self, split: str, *, shuffle: bool) -> Order:
        """The order of a split. Where it is not shuffled, it is that of the rows."""
        together = self.data.batch_size * self.ranks
        own = partial(_own_order, self.data, split, together, self.seed)
        has_own = shuffle and self.data.order(split, together=together, epoch=0, seed=self.seed) is not None
        return Order(
            len(self._rows(split, shuffle=shuffle)),
            together=together,
            limit=self.loading.limit,
            shuffle=shuffle,
            seed=self.seed,
            own=own if has_own else None,
        )

    def loader(self, split: str, *, block: int, device: torch.device, shuffle: bool = False) -> Batches:
        """The loader of a split.

        Args:
            block: optimizer steps in one item, fewer where their examples are large.
            device: that computes; examples are held there where it has room.
        """
        rows = self._rows(split, shuffle=shuffle)
        if self.spread and not shuffle:
            rows = np.random.default_rng(0).permutation(rows)
        step_bytes = self.accumulate * columns.nbytes(self.data.fields, rows[: self.data.batch_size])
        steps = -(-block // self.accumulate)
        return Batches(
            self.data.fields,
            rows,
            self.order(split, shuffle=shuffle),
            rank=processes.rank(),
            ranks=self.ranks,
            block=self.accumulate * max(1, min(steps, BLOCK_BYTES // max(1, step_bytes))),
            in_memory=self.loading.in_memory,
            num_workers=self.loading.num_workers,
            device=device if self._fits(device, columns.nbytes(self.data.fields, rows)) else "cpu",
        )

    def _rows(self, split: str, *, shuffle: bool) -> np.ndarray:
        return self.data.training_rows() if shuffle and split == "train" else self.data.rows(split)

    def _fits(self, device: torch.device, size: int) -> bool:
        """Whether so many bytes of examples may lie on an accelerator. A quarter of its free memory is theirs."""
        return self.ranks == 1 and device.type == "cuda" and size <= torch.cuda.mem_get_info()[0] / 4


def _own_order(data: Data, split: str, together: int, seed: int, epoch: int) -> Sequence[np.ndarray]:
    """The batches of an epoch of data that have an order of their own."""
    batches = data.order(split, together=together, epoch=epoch, seed=seed)
    assert batches is not None, "the data have an order of their own in every epoch"
    return batches
