"""Where raw files are: in a local folder, or published with known hashes."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from src.errors import InputError
from src.runs import names


class Files(ABC):
    """Raw files by name. A name is a path relative to a common root, with slashes.

    Args:
        origin: where the files come from, for the card and for messages.
    """

    def __init__(self, *, origin: str):
        self.origin = origin

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder."""

    @abstractmethod
    def content(self, name: str) -> bytes:
        """The bytes of a file."""

    @abstractmethod
    def state(self, names: Iterable[str]) -> str:
        """Text that changes when one of these files changes."""


class Local(Files):
    """Files in a folder of the user. Hidden files are left out."""

    def __init__(self, *, root: str):
        super().__init__(origin=Path(root).name)
        self.root = Path(root)

    def names(self, folder: str) -> list[str]:
        if not (self.root / folder).is_dir():
            raise InputError(f"data.root={self.root}: expected a folder {folder} in it; there is none.")
        return [str(path.relative_to(self.root)) for path in (self.root / folder).glob("[!.]*") if path.is_file()]

    def content(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def state(self, names: Iterable[str]) -> str:
        return state(self.root, [self.root / name for name in names])


class Published(Files):
    """Files with known hashes, from the folder DATA_CACHE, from the downloads, or from a mirror.

    Args:
        name: of the folder inside DATA_CACHE and inside the downloads.
        folder: where downloads go.
        mirrors: addresses that end in a slash, tried in this order.
        files: SHA-256 by file name. A file name may contain folders.
    """

    def __init__(self, *, name: str, folder: str, mirrors: Sequence[str], files: Mapping[str, str]):
        names.check("name", name)
        outside = [file for file in files if any(part.startswith(".") or not part for part in file.split("/"))]
        if outside:
            raise ValueError(f"files: expected names of files below one folder; received {outside[0]!r}.")
        super().__init__(origin=mirrors[0])
        self.name = name
        self.folder = Path(folder) / name
        self.mirrors = list(mirrors)
        self.files = dict(files)

    def names(self, folder: str) -> list[str]:
        return [name for name in self.files if name.rpartition("/")[0] == folder]

    def state(self, names: Iterable[str]) -> str:
        return ",".join(self.files[name] for name in names)

    def content(self, name: str) -> bytes:
        """The bytes of a file, whose hash is always checked.

        Raises:
            InputError: the file has another hash, or no mirror has it.
        """
        cache = os.environ.get("DATA_CACHE")
        for folder in ([Path(cache) / self.name] if cache else []) + [self.folder]:
            path = folder / name
            if path.is_file():
                content = path.read_bytes()
                received = hashlib.sha256(content).hexdigest()
                if received != self.files[name]:
                    raise InputError(
                        f"{path}: expected SHA-256 {self.files[name]}; received {received} ({len(content)} bytes: the file "
                        "is truncated or was changed). Delete it; the next command downloads it again."
                    )
                return content
        return self._download(name).read_bytes()

    def _download(self, name: str) -> Path:
        import pooch  # only where something has to be downloaded

        reasons = []
        for mirror in self.mirrors:
            try:
                return Path(
                    pooch.retrieve(
                        mirror + name,
                        known_hash=self.files[name],
                        fname=name,
                        path=self.folder,
                        downloader=pooch.HTTPDownloader(progressbar=os.isatty(2), timeout=30),
                    )
                )
            except (OSError, ValueError) as error:  # no connection, an HTTP status, or another hash
                reasons.append(f"{mirror}: {str(error).splitlines()[0][:120]}")
        raise InputError(
            f"{name} could not be downloaded. Put it into $DATA_CACHE/{self.name}/ or into {self.folder}/.\n  "
            + "\n  ".join(reasons)
        )


def state(root: Path, paths: Iterable[Path]) -> str:
    """A digest of the name, size and modification time of every file."""
    lines = [f"{path.relative_to(root)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
