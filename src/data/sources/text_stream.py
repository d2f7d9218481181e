"""Long texts, in files of a user's own or in a published one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from src.data.raw import Raw
from src.data.sources import cells, files
from src.data.sources.files import Files
from src.data.splitting import SPLITS
from src.data.tokenize import TEXT, encoded
from src.data.tokenize_stream import TokenizeStream
from src.data.tokenizer import Settings
from src.errors import InputError
from src.value_types import ShareBelowOne

ENDING = ".txt"  # of the files of a folder


class TextStream(ABC):
    """A text for each split. Where one is not given, it is cut off the end of that of the training.

    Args:
        val, test: shares of the text's characters, where no text of theirs is given; the test split is the end. 0 for a text
            without a test split.
    """

    def __init__(self, *, val: ShareBelowOne, test: ShareBelowOne, tokenizer: Settings):
        self._shares, self._tokenizer = {"val": val, "test": test}, tokenizer

    @abstractmethod
    def texts(self) -> Mapping[str, str]:
        """The texts that are given, by split; that of the training is among them."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where they come from."""

    def read(self) -> Raw:
        texts = dict(self.texts())
        whole, end = texts["train"], len(texts["train"])
        shares = {split: share for split, share in self._shares.items() if split not in texts}
        if sum(shares.values()) >= 1:
            raise InputError(
                f"data.dataset.split: expected shares of the text, val and test, whose sum is below 1; received {shares}."
            )
        begins = int((1 - sum(shares.values())) * end)
        texts["train"] = whole[:begins]
        for split in ("val", "test"):
            if split in shares:
                until = end if split == "test" or not shares.get("test") else int((1 - shares["test"]) * end)
                texts[split], begins = whole[begins:until], until
        given = [split for split in SPLITS if texts[split]]
        for split in ("train", "val"):
            if split not in given:
                raise InputError(
                    f"{self.origin}: expected a text that is long enough for its splits; nothing is left for {split}. Choose a "
                    "longer text, or other shares (data.dataset.split.val)."
                )
        return Raw(
            arrays={TEXT: encoded([texts[split] for split in given])},
            splits={split: np.flatnonzero(np.array(given) == split) for split in SPLITS},
            origin=self.origin,
            transform=TokenizeStream(self._tokenizer),
        )


class PublishedText(TextStream):
    """A published text in UTF-8.

    Args:
        name: of its file.
    """

    def __init__(self, *, files: Files, name: str, val: ShareBelowOne, test: ShareBelowOne, tokenizer: Settings):
        super().__init__(val=val, test=test, tokenizer=tokenizer)
        self._files, self._name = files, name

    @property
    def origin(self) -> str:
        return self._files.origin

    def state(self) -> str:
        return self._files.state([self._name])

    def texts(self) -> Mapping[str, str]:
        return {"train": cells.decoded(self._files.content(self._name), self._name, None)}


class TextFiles(TextStream):
    """A user's own texts.

    Args:
        path: a file, or a folder whose files *.txt are joined in the order of their names, with a line break between them.
        others: files or folders of the splits val and test; None for one that is cut off.
        encoding: of the files; None for UTF-8, and for UTF-16 that begins with its mark.
    """

    def __init__(
        self,
        *,
        path: str,
        others: Mapping[str, str | None],
        encoding: str | None,
        val: ShareBelowOne,
        test: ShareBelowOne,
        tokenizer: Settings,
    ):
        super().__init__(val=val, test=test, tokenizer=tokenizer)
        self._paths = {"train": Path(path), **{split: Path(own) for split, own in others.items() if own is not None}}
        self._encoding = encoding

    @property
    def origin(self) -> str:
        return files.text(self._paths["train"].name)

    def state(self) -> str:
        return ";".join(f"{split}={files.state(path.parent, self._listed(split))}" for split, path in self._paths.items())

    def texts(self) -> Mapping[str, str]:
        return {split: "\n".join(map(self._text, self._listed(split))) for split in self._paths}

    def _text(self, path: Path) -> str:
        return cells.decoded(files.read_bytes(path), files.text(path), self._encoding)

    def _listed(self, split: str) -> list[Path]:
        """The files of a split.

        Raises:
            InputError: there are none.
        """
        path, key = self._paths[split], "data.path" if split == "train" else f"data.{split}_path"
        found = sorted(path.rglob(f"*{ENDING}")) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            raise InputError(f"{key}={path}: expected a text file, or a folder with files *{ENDING}; there is none.")
        return found
