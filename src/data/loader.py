"""Blocks of batches, each read by one index from arrays in memory, on an accelerator or mapped from disk.

No Python code runs for each example.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.errors import InputError
from src.protocols import Batch

AHEAD = 2  # blocks that are read from disk before they are needed


def smallest_batch(count: int, *, batch_size: int, ranks: int = 1, limit: int | None = None) -> int:
    """The fewest examples that a process has of any batch of an epoch.

    Args:
        count: examples in the split.
        batch_size: for each process.
        limit: the largest number of batches in an epoch; None for no limit.
    """
    whole, rest = divmod(count, batch_size * ranks)
    if not rest or (limit is not None and limit <= whole):
        return batch_size
    return max(1, rest // ranks)


def batches(count: int, *, batch_size: int, ranks: int = 1, limit: int | None = None) -> int:
    """The number of batches in an epoch; the arguments are those of `smallest_batch`."""
    whole = -(-count // (batch_size * ranks))
    return whole if limit is None else min(whole, limit)


class Batches:
    """An epoch over some rows of a store, in blocks of batches. Each process gets its share of every batch.

    A global batch has `ranks` times `batch_size` examples, in the order that a single process would have. Each process
    gets a slice of it. The slices of the last, smaller batch differ by at most one example.

    The state is the position in the epoch. The order of an epoch is a pure function of seed and epoch, so that an
    interrupted epoch continues exactly. Lightning sees a sampler, which it tells the epoch, and no batch sampler.

    Args:
        arrays: `input` and `target`, with one row for each example.
        rows: the rows of the split.
        batch_size: examples of a batch for each process.
        rank, ranks: the number of this process, and the number of processes.
        block: batches in one item; an item is a list of batches.
        shuffle: a new order in each epoch.
        limit: the largest number of batches in an epoch; None for no limit.
        in_memory: bytes up to which the rows are held in memory; more are read from disk, ahead of their use.
        device: where the rows are held, if they are held.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
        *,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        block: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        limit: int | None = None,
        in_memory: float = 4 * 2**30,
        device: torch.device | str = "cpu",
    ):
        self.block = block
        self.rank, self.ranks = rank, ranks
        self.together = batch_size * ranks
        self.shuffle = shuffle
        self.seed = seed
        self.batches = batches(len(rows), batch_size=batch_size, ranks=ranks, limit=limit)
        self.examples = min(len(rows), self.batches * self.together)  # of an epoch, over all processes
        self.epoch = 0
        self.position = 0
        self.sampler = self
        self.batch_sampler = None
        self.held = nbytes(arrays, rows) <= in_memory
        self._device = torch.device(device if self.held else "cpu")
        self._rows = torch.from_numpy(np.array(rows)).to(self._device)
        self._arrays = arrays
        if self.held:
            self._tensors = {key: _take(array, rows).to(self._device) for key, array in arrays.items()}

    def __len__(self) -> int:
        """The number of blocks in a whole epoch, at any position."""
        return -(-self.batches // self.block)

    def __iter__(self) -> Iterator[list[Batch]]:
        if self.position == len(self):  # the last epoch ended
            self.position = 0
        permutation = self.permutation()
        blocks = (self._index(permutation, number) for number in range(self.position, len(self)))
        for block in map(self._read, blocks) if self.held else self._ahead(blocks):
            self.position += 1
            yield block

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "epoch": self.epoch, "length": len(self)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position, self.epoch = state["position"], state["epoch"]
        if state["length"] == len(self):
            return
        if self.position not in (0, state["length"]):
            raise InputError(
                f"expected a checkpoint from the end of an epoch, or from an epoch of {len(self)} blocks; this one was written "
                f"after block {self.position} of {state['length']}. Continue that run with its own command first."
            )
        self.position = 0

    def permutation(self) -> Tensor:
        """Positions in `rows`, in the order of this epoch."""
        if not self.shuffle:
            return torch.arange(len(self._rows))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return torch.randperm(len(self._rows), generator=generator)

    def _index(self, permutation: Tensor, number: int) -> tuple[Tensor, list[int], list[float]]:
        """This process's positions in a block, the size of each batch, and the weight of each batch."""
        first = number * self.block * self.together
        last = min((number + 1) * self.block * self.together, self.batches * self.together, len(permutation))
        slices, weights = [], []
        for start in range(first, last, self.together):
            count = min(self.together, last - start)
            size, remainder = divmod(count, self.ranks)
            begin = start + self.rank * size + min(self.rank, remainder)
            size += self.rank < remainder
            weights.append(self.ranks * size / count)
            slices.append((begin, begin + size) if size else (start, start + 1))  # all processes take the same steps
        positions = permutation[first:last] if self.ranks == 1 else torch.cat([permutation[begin:end] for begin, end in slices])
        return positions.to(self._device), [end - begin for begin, end in slices], weights

    def _read(self, index: tuple[Tensor, list[int], list[float]]) -> list[Batch]:
        """A block: one index into each array, then views of the result as batches."""
        positions, sizes, weights = index
        rows = self._rows.index_select(0, positions)
        if self.held:
            fields = [self._tensors[key].index_select(0, positions) for key in ("input", "target")]
        else:
            fields = [_take(self._arrays[key], rows.numpy()) for key in ("input", "target")]
        views = (field.split(sizes) for field in (*fields, rows))
        return [Batch(*batch) for batch in zip(*views, weights, strict=True)]

    def _ahead(self, blocks: Iterator[tuple[Tensor, list[int], list[float]]]) -> Iterator[list[Batch]]:
        """Reads blocks in a thread while earlier blocks are used."""
        with ThreadPoolExecutor(1, "read-ahead") as reader:
            pending: deque[Future[list[Batch]]] = deque()
            for index in blocks:
                pending.append(reader.submit(self._read, index))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()


def _take(array: np.ndarray, rows: np.ndarray) -> Tensor:
    """Some rows of an array.

    numpy copies in one thread. torch would start a second pool of threads in the thread that reads ahead, and both pools
    would compete for the processors: a step would take five times as long. Indexing with brackets, or with a check of each
    row, is ten times slower than this `take`.
    """
    return torch.from_numpy(np.take(array, rows, axis=0, mode="clip"))


def nbytes(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> int:
    """The bytes of these rows in all arrays."""
    return sum(array[:1].nbytes for array in arrays.values()) * len(rows)
