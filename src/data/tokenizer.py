"""Tokens of texts by the library `tokenizers`: words, characters, byte pairs, or those of a pretrained tokenizer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, NotRequired, Self, TypedDict

import numpy as np

from src import pretrained_folders
from src.data.columns import Ragged
from src.errors import InputError
from src.value_types import Count

if TYPE_CHECKING:
    import tokenizers

PADDING, UNKNOWN, *_ = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PIECE = 16_384  # texts that are tokenized at once


class Settings(TypedDict):
    """How texts become tokens.

    Args:
        kind: `words`, with each run of punctuation as one of them; `characters`; `bpe`, byte pairs (Sennrich et al. 2016,
            arXiv:1508.07909) of the bytes of the text, which leave nothing unknown; `pretrained`, from a file.
        size: tokens of the vocabulary at most.
        min_count: how often a token must occur in the training split.
        lowercase: whether capital letters become small ones.
        file: of a pretrained tokenizer, tokenizer.json, or the pretrained model that has it (`src.pretrained_folders`).
    """

    kind: Literal["words", "characters", "bpe", "pretrained"]
    size: Count
    min_count: NotRequired[Count]
    lowercase: NotRequired[bool]
    file: NotRequired[str | None]


class Tokenizer:
    """Turns texts into numbers of tokens, and back.

    Args:
        content: the JSON of the library.
    """

    def __init__(self, content: str):
        self.content = content
        self._tokenizer = _library().Tokenizer.from_str(content)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @classmethod
    def fit(cls, texts: Iterable[str], settings: Settings) -> Self:
        """The tokenizer of some texts: equal texts give an equal one.

        Raises:
            InputError: its file cannot be read, or the texts have fewer than two tokens.
        """
        kind = settings["kind"]
        if kind == "pretrained":
            return cls(_pretrained(settings.get("file")))
        library = _library()
        tokenizer, trainer = _BUILDERS[kind](settings)
        if settings.get("lowercase", True):
            tokenizer.normalizer = library.normalizers.Lowercase()
        tokenizer.train_from_iterator(texts, trainer)
        made = cls(tokenizer.to_str())
        if made.size < len(SPECIAL) + 2:
            raise InputError(
                f"data.tokenizer: expected texts with two different tokens at least; received {made.size - len(SPECIAL)}. "
                "Check the column of the text, or lower data.tokenizer.min_count."
            )
        return made

    @property
    def size(self) -> int:
        """Tokens of the vocabulary, the special ones included."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def padding(self) -> int:
        """The token beyond the end of a text; 0 where a pretrained tokenizer names none."""
        number = self._tokenizer.token_to_id(PADDING)
        if number is None:
            number = self._tokenizer.token_to_id("<pad>")
        return 0 if number is None else int(number)

    def encode(self, texts: Sequence[str], *, max_tokens: int | None = None) -> tuple[Ragged, int]:
        """The tokens of some texts, int32, and how many texts were cut. A text without any gets the unknown token.

        Args:
            max_tokens: of one text, whose rest is cut off; None for no limit.
        """
        if max_tokens is None:
            self._tokenizer.no_truncation()
        else:  # the tokens at the end that a pretrained tokenizer adds are kept
            self._tokenizer.enable_truncation(max_tokens)
        unknown = self._tokenizer.token_to_id(UNKNOWN)
        empty = [self.padding if unknown is None else unknown]
        values, lengths, cut = [], [], 0
        for start in range(0, len(texts), PIECE):
            for encoding in self._tokenizer.encode_batch_fast([*texts[start : start + PIECE]]):
                numbers = encoding.ids or empty
                cut += bool(encoding.overflowing)
                values.append(np.array(numbers, dtype=np.int32))
                lengths.append(len(numbers))
        return Ragged(np.concatenate(values), np.cumsum([0, *lengths]), padding=self.padding), cut

    def spans(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of a text that comes in pieces, and how many bytes of UTF-8 each stands for; both int32, (tokens,).

        The bytes add up to those of the text. What has no token, as a space between words, belongs to the token before it. Of
        several tokens of one character, the last one has its bytes.
        """
        self._tokenizer.no_truncation()
        numbers, sizes, carried = [], [], 0
        for text in texts:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            letters = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
            before = np.cumsum([0, *(1 + (letters >= 0x80) + (letters >= 0x800) + (letters >= 0x10000)).tolist()])
            if not encoding.ids:
                carried += int(before[-1])
                continue
            starts = np.array([0, *(start for start, _ in encoding.offsets[1:]), len(letters)])
            own = np.diff(before[starts])
            own[0] += carried
            numbers.append(np.array(encoding.ids, dtype=np.int32))
            sizes.append(own.astype(np.int32))
            carried = 0
        if not numbers:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
        sizes[-1][-1] += carried
        return np.concatenate(numbers), np.concatenate(sizes)

    @property
    def special(self) -> list[int]:
        """The numbers of the tokens that no text has, as the one beyond its end."""
        numbers = (self._tokenizer.token_to_id(token) for token in SPECIAL)
        return [int(number) for number in numbers if number is not None]

    def tokens(self, numbers: Sequence[int]) -> list[str]:
        """The tokens by their numbers."""
        return [str(self._tokenizer.id_to_token(number)) for number in numbers]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of some tokens, without special ones."""
        return str(self._tokenizer.decode([*numbers]))


def _library() -> ModuleType:
    # Its threads would stand still in a process that is forked while they work.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import tokenizers

    return tokenizers


def _words(settings: Settings) -> tuple[tokenizers.Tokenizer, tokenizers.trainers.Trainer]:
    library = _library()
    tokenizer = library.Tokenizer(library.models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
    return tokenizer, library.trainers.WordLevelTrainer(**_common(settings))


def _characters(settings: Settings) -> tuple[tokenizers.Tokenizer, tokenizers.trainers.Trainer]:
    library = _library()
    tokenizer = library.Tokenizer(library.models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = library.decoders.Fuse()
    return tokenizer, library.trainers.WordLevelTrainer(**_common(settings))


def _byte_pairs(settings: Settings) -> tuple[tokenizers.Tokenizer, tokenizers.trainers.Trainer]:
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    # The alphabet in a fixed sequence: ties between pairs are broken by the numbers of their tokens.
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    return tokenizer, library.trainers.BpeTrainer(initial_alphabet=alphabet, **_common(settings))


_BUILDERS = {"words": _words, "characters": _characters, "bpe": _byte_pairs}


def _common(settings: Settings) -> dict[str, object]:
    return {
        "vocab_size": settings["size"],
        "min_frequency": settings.get("min_count", 1),
        "special_tokens": [*SPECIAL],
        "show_progress": False,
    }


def _pretrained(file: str | None) -> str:
    """The content of tokenizer.json.

    Raises:
        InputError: there is none.
    """
    path = Path(file or "")
    if file and file.startswith((pretrained_folders.PACKAGE, pretrained_folders.HUB)):
        path = pretrained_folders.find(file, key="data.tokenizer.file")
    if path.is_dir():
        path /= "tokenizer.json"
    if not file or not path.is_file():
        raise InputError(
            f"data.tokenizer.file={file}: expected tokenizer.json of a pretrained tokenizer, or the folder that has it; there "
            "is none. Name it, or choose data.tokenizer.kind=words."
        )
    content = path.read_text(encoding="utf-8")
    try:
        _library().Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"data.tokenizer.file={file}: expected a file of the library tokenizers; received something else: {error}."
        ) from error
    return content
