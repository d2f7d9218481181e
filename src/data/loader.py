"""Blocks of batches, each read by one index from columns in memory, on an accelerator or mapped from disk.

No Python code runs for each example, unless it is a file that has to be decoded. Other processes do that.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from src.data import columns, encoded, worker_pool
from src.data.columns import Column, Columns, Dense
from src.data.encoded import Draw, Encoded
from src.data.order import Order
from src.errors import InputError
from src.protocols import Batch, Fields

AHEAD = 2  # blocks that are read from disk before they are needed
ALONE = 128  # files that this process decodes while others would only start

Slices: TypeAlias = "tuple[Tensor, list[int], list[bool]]"
Read: TypeAlias = "Callable[[Tensor, Tensor, list[int]], Sequence[Tensor]]"
"""Reads a column's part of each batch of a block, from the positions of its examples in the rows of the split, their rows in
the store, and the sizes of the batches."""


class Batches:
    """An epoch over some rows of a store, in blocks of batches. Each process gets its share of every batch.

    Each process gets a slice of each batch of the order. The slices of a batch differ by at most one example.

    The state is the position in the epoch. The order of an epoch is a pure function of seed and epoch, so that an
    interrupted epoch continues exactly. Lightning sees a sampler, which it tells the epoch, and no batch sampler.

    Args:
        fields: the columns of `input` and `target`; the latter may be missing.
        rows: the rows of the split.
        order: of the examples in these rows.
        rank, ranks: the number of this process, and the number of processes.
        block: batches in one item; an item is a list of batches.
        in_memory: bytes up to which the rows are held in memory; more are read from disk, ahead of their use.
        device: where the rows are held, if they are held.
        num_workers: processes that decode files; None for this process's share of the processors, 0 for none.
    """

    def __init__(
        self,
        fields: Columns,
        rows: np.ndarray,
        order: Order,
        *,
        rank: int = 0,
        ranks: int = 1,
        block: int = 1,
        in_memory: float = 4 * 2**30,
        device: torch.device | str = "cpu",
        num_workers: int | None = None,
    ):
        self.block = block
        self.rank, self.ranks = rank, ranks
        self.order = order
        self.batches = order.batches
        self.epoch = 0
        self.position = 0
        self.sampler = self
        self.batch_sampler = None
        leaves = {name: columns.leaves(field) for name, field in fields.items()}
        self._decodes = any(isinstance(column, Encoded) for named in leaves.values() for column in named.values())
        self.held = not self._decodes and columns.nbytes(fields, rows) <= in_memory
        device = torch.device(device if self.held else "cpu")
        self._rows = torch.from_numpy(np.array(rows)).to(device)
        processes = max(1, worker_pool.processors() // ranks) if num_workers is None else num_workers

        def reader(column: Column) -> _Mapped:
            if isinstance(column, Encoded):
                return _Decoded(column, rows, device, processes=processes)
            return (_Held if self.held else _Mapped)(column, rows, device)

        self._fields = {name: {key: reader(column) for key, column in named.items()} for name, named in leaves.items()}

    def __len__(self) -> int:
        """The number of blocks in a whole epoch, at any position."""
        return -(-self.batches // self.block)

    def __iter__(self) -> Iterator[list[Batch]]:
        if self.position == len(self):  # the last epoch ended
            self.position = 0
        positions, sizes = self.order.epoch(self.epoch)
        ends = np.cumsum([0, *sizes]).tolist()
        blocks = (self._slices(positions, ends, number) for number in range(self.position, len(self)))
        draw = self.order.draw(self.epoch)
        with ExitStack() as stack:
            fields = {
                name: {key: stack.enter_context(leaf.opened(draw)) for key, leaf in named.items()}
                for name, named in self._fields.items()
            }
            read = partial(self._read, fields)
            for block in map(read, blocks) if self.held else self._ahead(read, blocks):
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

    def _slices(self, positions: Tensor, ends: Sequence[int], number: int) -> Slices:
        """This process's positions in a block, the size of each batch, and whether it has a share of it."""
        batches = range(number * self.block, min((number + 1) * self.block, self.batches))
        if self.ranks == 1:
            sizes = [ends[batch + 1] - ends[batch] for batch in batches]
            return positions[ends[batches[0]] : ends[batches[-1] + 1]].to(self._rows.device), sizes, [True] * len(sizes)
        slices, real = [], []
        for batch in batches:
            start, count = ends[batch], ends[batch + 1] - ends[batch]
            size, remainder = divmod(count, self.ranks)
            begin = start + self.rank * size + min(self.rank, remainder)
            size += self.rank < remainder
            real.append(size > 0)
            slices.append((begin, begin + size) if size else (start, start + 1))  # all processes take the same steps
        own = torch.cat([positions[begin:end] for begin, end in slices])
        return own.to(self._rows.device), [end - begin for begin, end in slices], real

    def _read(self, readers: Mapping[str, Mapping[str, Read]], slices: Slices) -> list[Batch]:
        """A block: one index into each column, then views of the result as batches."""
        positions, sizes, real = slices
        rows = self._rows.index_select(0, positions)
        fields = {name: {key: read(positions, rows, sizes) for key, read in named.items()} for name, named in readers.items()}
        inputs = _batched(fields["input"], len(sizes))
        targets = _batched(fields["target"], len(sizes)) if "target" in fields else [None] * len(sizes)
        return [Batch(*batch) for batch in zip(inputs, targets, rows.split(sizes), real, strict=True)]

    def _ahead(self, read: Callable[[Slices], list[Batch]], blocks: Iterator[Slices]) -> Iterator[list[Batch]]:
        """Reads blocks in a thread while earlier blocks are used; in two, so that no process waits for the end of a block."""
        with ThreadPoolExecutor(2 if self._decodes else 1, "read-ahead") as reader:
            pending: deque[Future[list[Batch]]] = deque()
            for slices in blocks:
                pending.append(reader.submit(read, slices))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()


class _Mapped:
    """Reads a column from disk.

    numpy copies in one thread. torch would start a second pool of threads in the thread that reads ahead, and both pools
    would compete for the processors: a step would take five times as long.
    """

    def __init__(self, column: Column, rows: np.ndarray, device: torch.device):
        self._column, self._device = column, device

    @contextmanager
    def opened(self, draw: Draw | None) -> Iterator[Read]:
        """A block that reads; it gets the function that does.

        Args:
            draw: of the epoch, where it is read at random.
        """
        yield self.read

    def read(self, positions: Tensor, rows: Tensor, sizes: list[int]) -> Sequence[Tensor]:
        """See `Read`."""
        index = rows.cpu().numpy()
        if self._column.uniform:
            return torch.from_numpy(self._column.take(index)).to(self._device).split(sizes)
        pieces = np.split(index, np.cumsum(sizes)[:-1])
        return [torch.from_numpy(self._column.take(piece)).to(self._device) for piece in pieces]


class _Held(_Mapped):
    """Reads a column that is held in memory."""

    def __init__(self, column: Column, rows: np.ndarray, device: torch.device):
        super().__init__(column.held(rows), rows, device)
        self._whole = torch.from_numpy(self._column.array).to(device) if isinstance(self._column, Dense) else None

    def read(self, positions: Tensor, rows: Tensor, sizes: list[int]) -> Sequence[Tensor]:
        if self._whole is not None:
            return self._whole.index_select(0, positions).split(sizes)
        return super().read(positions, positions, sizes)


class _Decoded(_Mapped):
    """Reads a column of files.

    Args:
        processes: that decode, where there are many files.
    """

    def __init__(self, column: Encoded, rows: np.ndarray, device: torch.device, *, processes: int):
        super().__init__(column, rows, device)
        self._files = column
        self._processes = processes if column.on_disk and len(rows) >= ALONE else 0

    @contextmanager
    def opened(self, draw: Draw | None) -> Iterator[Read]:
        if not self._processes:
            yield lambda _, rows, sizes: self._split([self._files.decoded(rows.cpu().numpy(), draw)], sizes)
            return
        function = partial(encoded.decoded, self._files.decode)
        with worker_pool.started(function, processes=self._processes, what="decodes files") as pool:
            yield lambda _, rows, sizes: self._split([*pool(self._files.parts(rows.cpu().numpy(), draw))], sizes)

    def _split(self, pieces: Sequence[np.ndarray], sizes: list[int]) -> Sequence[Tensor]:
        return torch.from_numpy(np.concatenate(pieces)).to(self._device).split(sizes)


def _batched(leaves: Mapping[str, Sequence[Tensor]], count: int) -> Sequence[Fields]:
    """The field of each batch, from its columns by name; a single column has the name ''."""
    if "" in leaves:
        return leaves[""]
    return [{name: pieces[number] for name, pieces in leaves.items()} for number in range(count)]
