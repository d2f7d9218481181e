"""A text as one stream of tokens, of which a model reads windows and predicts the token that follows each one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from src.data.base import Data
from src.data.columns import Column, Columns, Field, Ragged, Windows
from src.data.shown import Passage
from src.data.store import Prepared
from src.data.tokenize_stream import BYTES, TOKENS
from src.data.tokenizer import Tokenizer
from src.errors import InputError
from src.value_types import Count

FOLLOWING, NONE = "following", -1  # a field of an input: the token after each one, and what stands where it does not count
STARTS = 2**24  # positions at which a window of a training may begin


class TokenStream(Data):
    """A prepared text. An input has the tokens of a window, those that follow each of them, and the bytes of the latter.

    Each is (batch, context). A model gets `tokens` alone, and the target is what follows: a prediction measures its loss. What
    follows the last token of a split is `NONE`, and so is all that lies beyond it.

    A split is read in windows that do not overlap. Each of its tokens is predicted once, but for the first one: nothing lies
    before it.

    An epoch of training takes such windows too, in a random sequence and from a random position on. `epoch_batches` counts its
    batches; these then go on where those of the last epoch ended, in one pass over the text after the other.

    A text without a test split is tested on its validation split.

    Args:
        context: tokens of a window.
        vocabulary: tokens that there are.
        tokenizer_hash: SHA-256 of the tokenizer.
        epoch_batches: of a training epoch; None for one pass over the text.

    Raises:
        InputError: a split is too short.
    """

    def __init__(
        self,
        *,
        prepared: Prepared,
        batch_size: Count,
        context: Count,
        vocabulary: Count,
        tokenizer_hash: str,
        epoch_batches: Count | None = None,
    ):
        super().__init__(prepared=prepared, shape=(), num_classes=None, batch_size=batch_size)
        self.context, self._epoch_batches = context, epoch_batches
        tokens, sizes = prepared.column(TOKENS), prepared.column(BYTES)
        assert isinstance(tokens, Ragged)
        assert isinstance(sizes, Ragged)
        self._tokens, ends = tokens, tokens.offsets[1:]
        following = Windows(tokens.values, length=context, shift=1, ends=ends, padding=NONE)
        self._input: dict[str, Column] = {
            TOKENS: Windows(tokens.values, length=context, ends=ends),
            FOLLOWING: following,
            BYTES: Windows(sizes.values, length=context, shift=1, ends=ends),
        }
        self._fields: dict[str, Field] = {"input": self._input, "target": following}
        for split, least in (("train", context + 1), ("val", 2)):
            begin, end = self._ends(split)
            if len(tokens) and end - begin < least:
                raise InputError(
                    f"data.context={context}: expected at least {least} tokens in the split {split} of "
                    f"{prepared.card['name']}; it has {end - begin}. Choose a smaller context, or a longer text."
                )

    @property
    def fields(self) -> Columns:
        return self._fields

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What turns a text into tokens and back."""
        return Tokenizer(self.prepared.card["reading"]["tokenizer"])

    def rows(self, split: str) -> np.ndarray:
        begin, end = self._ends(split)
        return np.arange(begin, max(begin, end - 1), self.context)

    def training_rows(self) -> np.ndarray:
        begin, end = self._ends("train")
        return np.arange(begin, max(begin, end - self.context), self._stride)

    def order(self, split: str, *, together: int, epoch: int, seed: int) -> Sequence[np.ndarray] | None:
        begin, end = self._ends("train")
        if split != "train" or begin == end:
            return None
        windows = max(1, (end - begin) // self.context - 1)  # of a pass, wherever it begins
        room = min(self.context, end - begin - windows * self.context)  # positions at which one may begin
        count = windows if self._epoch_batches is None else self._epoch_batches * together
        first = epoch * count
        passes = range(first // windows, -(-(first + count) // windows))
        positions = np.concatenate([_window_starts(windows, self.context, room, [seed, number]) for number in passes])
        own = positions[first - passes[0] * windows :][:count] // self._stride
        return np.split(own, range(together, count, together))

    def exported_example(self, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        """The tokens alone: an exported model says what follows."""
        return {TOKENS: self._input[TOKENS].take(rows)}

    def text(self, row: int, count: int) -> str:
        """The text of some tokens from a position on, which ends with its split."""
        end = self._tokens.offsets[np.searchsorted(self._tokens.offsets, row, side="right")]
        return self.tokenizer.decode(self._tokens.values[row : min(row + count, end)].tolist())

    def show(self, row: int) -> Passage:
        return Passage(self.text(row, self.context))

    def _ends(self, split: str) -> tuple[int, int]:
        """Where a split begins, and where it ends."""
        parts = self.prepared.index(split)
        if not len(parts) and split == "test":
            parts = self.prepared.index("val")
        return (int(self._tokens.offsets[parts[0]]), int(self._tokens.offsets[parts[-1] + 1])) if len(parts) else (0, 0)

    @property
    def _stride(self) -> int:
        """Steps from one position at which a window may begin to the next; more than 1 in a text that is very long."""
        begin, end = self._ends("train")
        return max(1, -(-(end - begin) // STARTS))


def _window_starts(windows: int, context: int, room: int, seed: Sequence[int]) -> np.ndarray:
    """Where the windows of a pass begin, in a random sequence. They lie one after the other from a random position on."""
    rng = np.random.default_rng(seed)
    return int(rng.integers(room)) + context * rng.permutation(windows)
