"""Sentences of film reviews with their polarity (Pang and Lee 2005, doi:10.3115/1219840.1219855)."""

import numpy as np

from src.data.raw import Raw
from src.data.sources.files import Files
from src.data.tokenize import TEXT, Tokenize, encoded
from src.data.tokenizer import Settings
from src.errors import InputError
from src.value_types import Count

ENCODING = "latin-1"  # its byte 0x85 would end a line for str.splitlines
CLASSES = {"0": "negative", "1": "positive"}


class SentencePolarity:
    """One sentence a line, led by its class and a space.

    Args:
        name: of the file.
        max_tokens: of a sentence, whose rest is cut off; None for no limit.
    """

    def __init__(self, *, files: Files, name: str, tokenizer: Settings, max_tokens: Count | None):
        self._files, self._name = files, name
        self._tokenizer, self._max_tokens = tokenizer, max_tokens

    def state(self) -> str:
        return self._files.state([self._name])

    def read(self) -> Raw:
        lines = self._files.content(self._name).decode(ENCODING).rstrip("\n").split("\n")
        wrong = next((number for number, line in enumerate(lines, 1) if line[:1] not in CLASSES or not line[2:].strip()), None)
        if wrong is not None:
            raise InputError(f"{self._name}, line {wrong}: expected 0 or 1, a space and a sentence; received something else.")
        return Raw(
            arrays={
                TEXT: encoded([line[2:].strip() for line in lines]),
                "target": np.array([int(line[0]) for line in lines], dtype=np.int64),
            },
            classes=[*CLASSES.values()],
            origin=self._files.origin,
            names=[f"line {number}" for number in range(1, len(lines) + 1)],
            reading={"columns": [TEXT]},
            transform=Tokenize(self._tokenizer, max_tokens=self._max_tokens),
        )
