"""What a store of texts learns of its training split: a tokenizer. It keeps the texts themselves too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from src.data.columns import Ragged
from src.data.digest import of_text
from src.data.notes import counted
from src.data.raw import Raw, Transform
from src.data.tokenizer import Settings, Tokenizer

TEXT, TOKENS = "text", "tokens"  # arrays of a store: the bytes of the texts in UTF-8, and their tokens


class Tokenize(Transform):
    """Adds the tokens of each text.

    Args:
        settings: of the tokenizer.
        max_tokens: of a text, whose rest is cut off; None for no limit.
    """

    def __init__(self, settings: Settings, *, max_tokens: int | None):
        self._settings, self._max_tokens = settings, max_tokens
        self._tokenizer: Tokenizer

    def fit(self, raw: Raw, rows: np.ndarray) -> None:
        texts = raw.arrays[TEXT]
        assert isinstance(texts, Ragged)
        self._tokenizer = Tokenizer.fit((texts[row].tobytes().decode() for row in rows.tolist()), self._settings)

    def apply(self, raw: Raw) -> Raw:
        texts = raw.arrays[TEXT]
        assert isinstance(texts, Ragged)
        tokens, cut = self._tokenizer.encode(decoded(texts), max_tokens=self._max_tokens)
        notes = [f"{counted(cut, 'text is', 'texts are')} cut after {self._max_tokens} tokens."] if cut else []
        facts = {
            "vocabulary": self._tokenizer.size,
            "padding": self._tokenizer.padding,
            "longest": int(tokens.lengths.max()),
            "tokenizer_hash": of_text(self._tokenizer.content),
        }
        return replace(raw, arrays={**raw.arrays, TOKENS: tokens}, facts={**raw.facts, **facts}, notes=[*raw.notes, *notes])

    def state(self) -> Mapping[str, Any]:
        return {"tokenizer": self._tokenizer.content, "max_tokens": self._max_tokens}


def encoded(texts: Sequence[str]) -> Ragged:
    """Texts as the bytes of UTF-8."""
    content = [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]
    return Ragged(np.concatenate(content), np.cumsum([0, *map(len, content)]))


def decoded(texts: Ragged) -> list[str]:
    """The texts of their bytes."""
    return [texts[row].tobytes().decode() for row in range(len(texts))]
