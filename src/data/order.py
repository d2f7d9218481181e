"""Which examples each batch of an epoch has, for all processes together."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from src.data.encoded import Draw
from src.errors import InputError


class Order:
    """The batches of each epoch, as positions in the rows of a split. A pure function of seed and epoch.

    By default a batch has `together` examples, the last one the rest.

    Args:
        count: examples in the split.
        together: examples of a batch in all processes together.
        limit: the largest number of batches in an epoch; None for no limit.
        shuffle: a new order in each epoch.
        own: gives the batches of an epoch as the data want them, as many in each epoch; None for the default.
    """

    def __init__(
        self,
        count: int,
        *,
        together: int,
        limit: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        own: Callable[[int], Sequence[np.ndarray]] | None = None,
    ):
        self._count, self._together = count, together
        self._shuffle, self._seed, self._own = shuffle, seed, own
        self._whole = len(own(0)) if own else -(-count // together)
        self.batches = self._whole if limit is None else min(self._whole, limit)

    def epoch(self, number: int) -> tuple[Tensor, list[int]]:
        """The positions of an epoch, one batch after the other, and the size of each batch.

        Raises:
            InputError: the data give another number of batches than in the first epoch.
        """
        if self._own is not None:
            pieces = self._own(number)
            if len(pieces) != self._whole:
                raise InputError(
                    f"data: expected {self._whole} batches in each epoch; received {len(pieces)} in epoch {number + 1}. Let "
                    "the order of the data have as many batches in each epoch."
                )
            pieces = pieces[: self.batches]
            return torch.from_numpy(np.concatenate(pieces)), [len(piece) for piece in pieces]
        if self._shuffle:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
            positions = torch.randperm(self._count, generator=generator)
        else:
            positions = torch.arange(self._count)
        return positions[: self.batches * self._together], self.sizes(number)

    def draw(self, number: int) -> Draw | None:
        """What a reading at random in an epoch depends on; None where the order is not random, and neither is the reading."""
        return Draw(self._seed, number) if self._shuffle else None

    def sizes(self, number: int) -> list[int]:
        """The size of each batch of an epoch."""
        if self._own is not None:
            return self.epoch(number)[1]
        rest = self._count - (self.batches - 1) * self._together
        return [self._together] * (self.batches - 1) + [min(self._together, rest)]

    def smallest(self, ranks: int) -> int:
        """The fewest examples that one of so many processes has of a batch of the first epoch."""
        return max(1, min(self.sizes(0)) // ranks)

    def examples(self, batches: int) -> int:
        """Examples of so many batches from the first epoch on."""
        epochs, rest = divmod(batches, self.batches)
        if self._own is None:
            sizes = self.sizes(0)
            return epochs * sum(sizes) + sum(sizes[:rest])
        return sum(sum(self.sizes(number)) for number in range(epochs)) + sum(self.sizes(epochs)[:rest])
