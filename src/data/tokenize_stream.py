"""What a store of a long text learns of its training split: a tokenizer. It keeps the tokens, and the bytes of each."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from src.data.columns import Ragged
from src.data.digest import of_text
from src.data.raw import Raw, Transform
from src.data.tokenize import TEXT, TOKENS
from src.data.tokenizer import Settings, Tokenizer

BYTES = "bytes"  # an array of a store: how many bytes of the text each token stands for
PIECE = 65_536  # characters that are tokenized at once, and the rest of their line


class TokenizeStream(Transform):
    """Replaces texts, one for each split, by their tokens.

    Args:
        settings: of the tokenizer.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._tokenizer: Tokenizer

    def fit(self, raw: Raw, rows: np.ndarray) -> None:
        texts = raw.arrays[TEXT]
        assert isinstance(texts, Ragged)
        self._tokenizer = Tokenizer.fit(
            (piece for row in rows.tolist() for piece in pieces(texts[row].tobytes().decode())), self._settings
        )

    def apply(self, raw: Raw) -> Raw:
        texts = raw.arrays[TEXT]
        assert isinstance(texts, Ragged)
        numbers, sizes = zip(
            *(self._tokenizer.spans(pieces(texts[row].tobytes().decode())) for row in range(len(texts))), strict=True
        )
        offsets = np.cumsum([0, *map(len, numbers)])
        arrays = {TOKENS: Ragged(np.concatenate(numbers), offsets), BYTES: Ragged(np.concatenate(sizes), offsets)}
        facts = {"vocabulary": self._tokenizer.size, "tokenizer_hash": of_text(self._tokenizer.content)}
        rows = {split: row for split, own in raw.splits.items() for row in own.tolist()}
        counts = ", ".join(f"{len(numbers[row]):,} in {split}" for split, row in rows.items())
        notes = [f"tokens: {counts}; a vocabulary of {self._tokenizer.size:,}."]
        return replace(raw, arrays=arrays, facts={**raw.facts, **facts}, notes=[*raw.notes, *notes])

    def state(self) -> Mapping[str, Any]:
        return {"tokenizer": self._tokenizer.content}


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that end with a line, so that no word is divided where lines are not very long."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin + PIECE) + 1
        if not 0 < end <= begin + 4 * PIECE:
            end = min(begin + PIECE, len(text))
        yield text[begin:end]
        begin = end
