"""Whole blocks of batches by one index, from arrays in memory, on an accelerator or mapped from disk.

There is no Python call per example.
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

AHEAD = 2  # blocks that are read from disk before they are asked for


def smallest(count: int, *, batch_size: int, ranks: int = 1, limit: int | None = None) -> int:
    """The fewest examples that a process has of a batch, in an epoch over so many, or of so many batches at most."""
    whole, rest = divmod(count, batch_size * ranks)
    if not rest or (limit is not None and limit <= whole):
        return batch_size
    return max(1, rest // ranks)


def batches(count: int, *, batch_size: int, ranks: int = 1, limit: int | None = None) -> int:
    """Batches of an epoch over so many examples, of so many batches at most."""
    whole = -(-count // (batch_size * ranks))
    return whole if limit is None else min(whole, limit)


class Batches:
    """An epoch over some rows of a store, in blocks of up to `block` batches; of each batch, the share of one process.

    A batch is what all processes take together, `ranks` times `batch_size` examples in the order that one process would
    have. Each takes a piece of it; the pieces of the last, smaller batch differ by one example at most.

    Its state is the position in the epoch; the order of an epoch is a pure function of seed and epoch, so that
    an interrupted epoch goes on exactly. Lightning sees a sampler, which it tells the epoch, and no batch sampler.

    Args:
        arrays: `input` and `target`, one row an example.
        rows: the rows of the part.
        batch_size: the examples of a batch for each process.
        rank, ranks: which process this is, of how many.
        block: batches in one item; an item is a list of them.
        limit: at most so many batches an epoch.
        shuffle: a new order each epoch.
        in_memory: bytes up to which the part is held in memory; a larger one is read from disk, ahead of its use.
        device: where a part that is held is held.
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
        self.held = size(arrays, rows) <= in_memory
        self._device = torch.device(device if self.held else "cpu")
        self._rows = torch.from_numpy(np.array(rows)).to(self._device)
        self._arrays = arrays
        if self.held:
            taken = {key: _take(array, rows) for key, array in arrays.items()}
            self._tensors = {key: tensor.to(self._device) for key, tensor in taken.items()}

    def __len__(self) -> int:
        """Blocks in a whole epoch, wherever the position stands."""
        return -(-self.batches // self.block)

    def __iter__(self) -> Iterator[list[Batch]]:
        if self.position == len(self):  # the epoch before was taken to its end
            self.position = 0
        order = self.order()
        blocks = (self._index(order, number) for number in range(self.position, len(self)))
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
                f"expected a checkpoint of an epoch in {len(self)} blocks, or of an epoch's end; this one was written after "
                f"{self.position} of {state['length']}. Continue that run by its own command first."
            )
        self.position = 0

    def order(self) -> Tensor:
        """The part's positions in the order of this epoch."""
        if not self.shuffle:
            return torch.arange(len(self._rows))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return torch.randperm(len(self._rows), generator=generator)

    def _index(self, order: Tensor, number: int) -> tuple[Tensor, list[int], list[float]]:
        """This process's positions in a block, how many of them make a batch, and what each batch weighs."""
        first = number * self.block * self.together
        last = min((number + 1) * self.block * self.together, self.batches * self.together, len(order))
        pieces, weights = [], []
        for start in range(first, last, self.together):
            count = min(self.together, last - start)
            size, more = divmod(count, self.ranks)
            begin = start + self.rank * size + min(self.rank, more)
            size += self.rank < more
            weights.append(self.ranks * size / count)
            pieces.append((begin, begin + size) if size else (start, start + 1))  # all processes take the same steps
        whole = order[first:last] if self.ranks == 1 else torch.cat([order[begin:end] for begin, end in pieces])
        return whole.to(self._device), [end - begin for begin, end in pieces], weights

    def _read(self, index: tuple[Tensor, list[int], list[float]]) -> list[Batch]:
        """A block: one index into each array, then views of what it gives."""
        chosen, sizes, weights = index
        rows = self._rows.index_select(0, chosen)
        if self.held:
            parts = [self._tensors[key].index_select(0, chosen) for key in ("input", "target")]
        else:
            parts = [_take(self._arrays[key], rows.numpy()) for key in ("input", "target")]
        split = (part.split(sizes) for part in (*parts, rows))
        return [Batch(*batch) for batch in zip(*split, weights, strict=True)]

    def _ahead(self, blocks: Iterator[tuple[Tensor, list[int], list[float]]]) -> Iterator[list[Batch]]:
        """Reads blocks in a thread while the ones before are trained on."""
        with ThreadPoolExecutor(1, "read-ahead") as reader:
            waiting: deque[Future[list[Batch]]] = deque()
            for index in blocks:
                waiting.append(reader.submit(self._read, index))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _take(array: np.ndarray, rows: np.ndarray) -> Tensor:
    """Some rows of an array.

    By numpy, whose copy is one thread's: torch would start a second team of threads in the thread that reads ahead,
    and the two teams would take the processors from each other, at five times the cost of a step. Indexing by
    brackets, or with a check of each row, is ten times slower than `take` so.
    """
    return torch.from_numpy(np.take(array, rows, axis=0, mode="clip"))


def size(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> int:
    """Bytes of these rows of all arrays."""
    return sum(array[:1].nbytes for array in arrays.values()) * len(rows)
