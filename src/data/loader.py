"""Whole batches by one index each, from arrays in memory or mapped from disk; no Python call per example."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.protocols import Batch

IN_MEMORY = 4 * 2**30  # bytes up to which the rows of a part are held in memory


class Batches:
    """An epoch over some rows of a store, in blocks of up to `block` batches.

    Its state is the position in the epoch; the order of an epoch is a pure function of seed and epoch, so that
    an interrupted epoch goes on exactly. Lightning sees a sampler, which it tells the epoch, and no batch sampler.

    Args:
        arrays: `input` and `target`, one row an example.
        rows: the rows of the part.
        block: batches in one item; an item is a list of them.
        limit: at most so many batches an epoch.
        shuffle: a new order each epoch.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
        *,
        batch_size: int,
        block: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        limit: int | None = None,
    ):
        self.rows = torch.from_numpy(np.array(rows))
        self.batch_size = batch_size
        self.block = block
        self.shuffle = shuffle
        self.seed = seed
        self.batches = -(-len(rows) // batch_size)
        if limit is not None:
            self.batches = min(self.batches, limit)
        self.epoch = 0
        self.position = 0
        self.sampler = self
        self.batch_sampler = None
        size = sum(array[:1].nbytes for array in arrays.values()) * len(rows)
        self._held = size <= IN_MEMORY
        if self._held:
            self._arrays = {key: torch.from_numpy(np.ascontiguousarray(array[rows])) for key, array in arrays.items()}
        else:
            self._mapped = dict(arrays)

    def __len__(self) -> int:
        """Blocks in a whole epoch, wherever the position stands."""
        return -(-self.batches // self.block)

    def __iter__(self) -> Iterator[list[Batch]]:
        if self.position == len(self):  # the epoch before was taken to its end
            self.position = 0
        order = self._order()
        while self.position < len(self):
            first = self.position * self.block
            self.position += 1
            last = min(first + self.block, self.batches)
            yield [self._batch(order[i * self.batch_size : (i + 1) * self.batch_size]) for i in range(first, last)]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position, self.epoch = state["position"], state["epoch"]

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.rows))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return torch.randperm(len(self.rows), generator=generator)

    def _batch(self, chosen: Tensor) -> Batch:
        index = self.rows[chosen]
        if self._held:
            return Batch(self._arrays["input"][chosen], self._arrays["target"][chosen], index)
        rows = index.numpy()
        in_order = np.argsort(rows)  # a disk is read forwards
        back = np.argsort(in_order)
        parts = {key: torch.from_numpy(array[rows[in_order]][back]) for key, array in self._mapped.items()}
        return Batch(parts["input"], parts["target"], index)
