"""Texts: their tokens and the number of these as the two fields of an input, and targets by text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from src.data.base import Data
from src.data.columns import Columns, Dense, Field, Ragged
from src.data.reading import Reader
from src.data.shown import Passage
from src.data.store import Prepared
from src.data.tokenize import TEXT, TOKENS
from src.data.tokenizer import Tokenizer
from src.value_types import Count

LENGTH = "length"


class Texts(Data):
    """A prepared data set of texts. A model gets `tokens` (batch, longest), padded, and `length` (batch,).

    Batches of a training have texts of similar lengths, so that little of them is padding. The first batch of all has the
    longest texts: where memory does not suffice, the training ends at once and not in the middle.

    Args:
        num_classes: None where there are no classes.
        vocabulary: tokens that there are.
        padding: the token beyond the end of a text.
        longest: tokens of the longest text.
        tokenizer_hash: SHA-256 of the tokenizer.
        batch_tokens: tokens of a batch with its padding, at most; `batch_size` is then the most texts of one. None: no limit.
    """

    def __init__(
        self,
        *,
        prepared: Prepared,
        num_classes: int | None,
        batch_size: Count,
        vocabulary: Count,
        padding: int,
        longest: Count,
        tokenizer_hash: str,
        batch_tokens: Count | None = None,
    ):
        super().__init__(prepared=prepared, shape=(), num_classes=num_classes, batch_size=batch_size)
        if batch_tokens is not None and batch_tokens < longest:
            raise ValueError(
                f"data.batch_tokens: expected at least {longest}, the tokens of the longest text; received {batch_tokens}. "
                "Raise it, or cut texts by data.max_tokens."
            )
        self._batch_tokens, self.padding, self.vocabulary = batch_tokens, padding, vocabulary
        tokens = prepared.column(TOKENS, padding=padding)
        assert isinstance(tokens, Ragged)
        self._lengths = tokens.lengths
        self._fields: dict[str, Field] = {"input": {TOKENS: tokens, LENGTH: Dense(tokens.lengths)}}
        if prepared.has("target"):
            self._fields["target"] = Dense(prepared.array("target"))

    @property
    def fields(self) -> Columns:
        return self._fields

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into tokens and back."""
        return Tokenizer(self.prepared.card["reading"]["tokenizer"])

    def text(self, row: int) -> str:
        """The text in a row of the store."""
        return self._texts[row].tobytes().decode()

    @cached_property
    def _texts(self) -> Ragged:
        texts = self.prepared.column(TEXT)
        assert isinstance(texts, Ragged)
        return texts

    def features(self, rows: np.ndarray) -> np.ndarray:
        """The texts themselves."""
        return np.array([self.text(row) for row in rows.tolist()])

    def feature_statistics(self) -> None:
        """None: an estimator takes texts as they are."""
        return

    def order(self, split: str, *, together: int, epoch: int, seed: int) -> Sequence[np.ndarray]:
        """Batches of similar lengths in a random sequence; equal lengths are in a random one too."""
        lengths = self._lengths[self.rows(split)]
        rng = np.random.default_rng([seed, epoch])
        ranked = np.lexsort((rng.random(len(lengths)), lengths))
        budget = None if self._batch_tokens is None else self._batch_tokens * together // self.batch_size
        batches = np.split(ranked, boundaries(lengths[ranked], together=together, budget=budget))
        sequence = rng.permutation(len(batches)).tolist()
        if epoch == 0:
            sequence.remove(len(batches) - 1)
            sequence.insert(0, len(batches) - 1)
        return [batches[number] for number in sequence]

    def reader(self) -> Reader:
        from src.data.sources.text_reader import TextReader  # only a prediction reads raw inputs

        return TextReader(**self.prepared.card["reading"])

    def show(self, row: int) -> Passage:
        return Passage(self.text(row))


def boundaries(lengths: np.ndarray, *, together: int, budget: int | None) -> list[int]:
    """Where batches begin, but for the first one.

    Args:
        lengths: in rising order.
        together: texts of a batch at most.
        budget: tokens of a batch with its padding, at most; None for no limit.
    """
    if budget is None:
        return [*range(together, len(lengths), together)]
    starts, start = [], 0
    while start < len(lengths):
        window = lengths[start : start + together]
        fitting = int((window * np.arange(1, len(window) + 1) <= budget).sum())
        start += max(fitting, 1)
        if start < len(lengths):
            starts.append(start)
    return starts
