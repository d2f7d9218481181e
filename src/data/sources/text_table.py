"""A user's own texts, in the rows of one table or of one for each split."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from src.data.raw import Raw
from src.data.sources import cells, files
from src.data.sources.cells import Cells
from src.data.sources.listing import Columns, Gives, Listing
from src.data.splitting import SPLITS
from src.data.tokenize import TEXT, Tokenize, encoded
from src.data.tokenizer import Settings
from src.errors import InputError
from src.value_types import Count

PART = "split of the file"  # the column that says from which of several files a row is; no name of a user's own


class TextTable:
    """Texts with what is to be predicted of each.

    Args:
        path: the file, .csv, .tsv, .jsonl or .parquet, of all examples, or of those that another file does not have.
        others: files of the splits val and test; None leaves the choice to `columns` and to data.dataset.split.
        encoding: of the files; None for UTF-8, and for UTF-16 that begins with its mark.
        text: the column of the texts.
        gives: what the columns of the target have: `class`, one column of labels; `labels`, a 0 or 1 in each column; `number`,
            a number in each column.
        max_tokens: of a text, whose rest is cut off; None for no limit.
    """

    def __init__(
        self,
        *,
        path: str,
        others: Mapping[str, str | None],
        encoding: str | None,
        text: str,
        columns: Columns,
        gives: Gives,
        tokenizer: Settings,
        max_tokens: Count | None,
    ):
        self._files = {"train": Path(path), **{split: Path(own) for split, own in others.items() if own is not None}}
        self._encoding, self._text, self._gives = encoding, text, gives
        self._columns: Columns = {**columns, "split": PART} if len(self._files) > 1 else columns
        if len(self._files) > 1 and any(columns.get(key) is not None for key in ("split", "group", "time")):
            raise InputError(
                "data.columns: expected no split, group and time beside files of the splits (data.val_path, data.test_path); "
                f"received {dict(columns)}. Leave one of the two null."
            )
        self._tokenizer, self._max_tokens = tokenizer, max_tokens

    def state(self) -> str:
        self._listing.check()  # a wrong table is refused before anything is prepared
        self._texts()
        return " ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in self._files.values())

    def read(self) -> Raw:
        texts = self._texts()
        return self._listing.raw(
            {TEXT: encoded(texts)},
            range(len(texts)),
            origin=files.text(self._files["train"].name),
            names=[*self._cells.places],
            reading={"columns": [self._text]},
            transform=Tokenize(self._tokenizer, max_tokens=self._max_tokens),
        )

    def _texts(self) -> Sequence[str]:
        return self._listing.parsed(self._text, "data.text", lambda cell: cell or None, "a text")

    @cached_property
    def _listing(self) -> Listing:
        return Listing(self._cells, self._columns, inputs=[self._text], gives=self._gives, key="data.target")

    @cached_property
    def _cells(self) -> Cells:
        """The rows of all files."""
        keys = {"train": "data.path", "val": "data.val_path", "test": "data.test_path"}
        parts = {
            split: cells.read(path, where=f"{keys[split]}={files.text(path)}", encoding=self._encoding)
            for split, path in self._files.items()
        }
        if len(parts) == 1:
            return parts["train"]
        first = parts["train"]
        columns: dict[str, list[str]] = {name: [] for name in (*first.columns, PART)}
        places: list[str] = []
        for split in SPLITS:
            own = parts.get(split)
            if own is None:
                continue
            for name in first.columns:
                columns[name] += own.column(name, key=keys["train"])
            columns[PART] += [split] * len(own.places)
            places += [f"{files.text(self._files[split].name)}, {place}" for place in own.places]
        return Cells(first.where, columns, places)
