"""Reads one text, as the preparation of a data set of texts did."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src.data.reading import Reader
from src.data.tokenize import TEXT, TOKENS, encoded
from src.data.tokenizer import Tokenizer


class TextReader(Reader):
    """Reads a text, or a row with a text in its column.

    Args:
        tokenizer: its content, as the training split gave it.
        max_tokens: of a text, whose rest is cut off; None for no limit.
        columns: the name of the column.
    """

    requires = ("tokenizers",)

    def __init__(self, *, tokenizer: str, max_tokens: int | None, columns: Sequence[str]):
        self._content, self._max_tokens = tokenizer, max_tokens
        (self._column,) = columns
        self._tokenizer: Tokenizer | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a process that reads. It makes the tokenizer anew."""
        return {**self.__dict__, "_tokenizer": None}

    def read(self, raw: str | Mapping[str, str]) -> Mapping[str, np.ndarray]:
        if isinstance(raw, Mapping):
            if self._column not in raw:
                raise ValueError(f"expected a column {self._column}; received {', '.join(raw) or 'none'}")
            raw = raw[self._column]
        if not isinstance(raw, str) or not raw.strip():
            raise ValueError(f"expected a text; received {'an empty one' if isinstance(raw, str) else type(raw).__name__}")
        text = raw.strip()
        self._tokenizer = self._tokenizer or Tokenizer(self._content)
        tokens, _ = self._tokenizer.encode([text], max_tokens=self._max_tokens)
        return {TEXT: encoded([text]).values, TOKENS: tokens.values}
