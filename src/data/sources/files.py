"""Where raw files are: in a local folder, or published with known hashes."""

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePath

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
        """The names of the files of a folder."""

    @abstractmethod
    def content(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: it cannot be read.
        """

    @abstractmethod
    def state(self, names: Iterable[str]) -> str:
        """Text that changes when one of these files changes."""


class Local(Files):
    """Files in a folder of the user, and in the folders there. Hidden ones are left out."""

    def __init__(self, *, root: str):
        super().__init__(origin=text(Path(root).name))
        self.root = Path(root)

    def names(self, folder: str) -> list[str]:
        if not (self.root / folder).is_dir():
            raise InputError(f"data.root={self.root}: expected a folder {folder} in it; there is none.")
        return below(self.root, chain(*walk(self.root / folder)))

    def content(self, name: str) -> bytes:
        return read_bytes(self.root / name)

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


def text(path: str | Path | PurePath) -> str:
    """A path as text. Bytes of its name that are no UTF-8 stand as \\xe4, because nothing can print or store them."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def suffix(path: str | PurePath) -> str:
    """The ending of a file's name in small letters, with its dot. pathlib would take seconds for many of them."""
    return os.path.splitext(path)[1].lower()


def below(root: Path, paths: Iterable[str | Path]) -> list[str]:
    """Paths below a folder relative to it. `relative_to` would take seconds for many of them."""
    start = "" if root == Path() else os.path.join(root, "")
    whole = [os.fspath(path) for path in paths]
    return [path[len(start) :] if path.startswith(start) else str(Path(path).relative_to(root)) for path in whole]


def walk(folder: Path) -> tuple[list[str], list[str]]:
    """The files below a folder at any depth, and the links to folders there, which are not followed. Hidden ones are left out.

    Paths are text, because a million objects of pathlib would take half a minute.

    Raises:
        InputError: a folder cannot be listed.
    """

    files: list[str] = []
    links: list[str] = []

    def visit(parent: str) -> None:
        try:
            with os.scandir(parent or os.curdir) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{text(error.filename)}: expected a folder that can be listed; {error.strerror}.") from error
        for entry in entries:  # in this order, paths come sorted by their parts
            if entry.name.startswith("."):
                continue
            path = os.path.join(parent, entry.name)
            if not _is_folder(entry):
                files.append(path)
            elif entry.is_symlink():
                links.append(path)
            else:
                visit(path)

    visit("" if folder == Path() else os.fspath(folder))
    return files, links


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def check_regular(path: str | Path) -> None:
    """Refuses what is no regular file, without opening it: reading from a pipe or a device may never end.

    Raises:
        OSError: it is another thing, or a link that leads to nothing.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if os.path.islink(path):
            raise OSError(f"expected a file; received a link to {text(os.readlink(path))}, which leads to none") from error
        raise
    if not stat.S_ISREG(mode):
        raise OSError("expected a file; received a folder, a pipe or a device")


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a regular file. A buffer would read a small one in several calls.

    Raises:
        OSError: it is another thing, or cannot be read.
    """
    check_regular(path)
    with open(path, "rb", buffering=0) as file:
        return file.read()


def state(root: Path, paths: Iterable[str | Path]) -> str:
    """A digest of the name, size and modification time of every file."""
    paths = [*paths]
    lines = [os.fsencode(name) + _stamp(path).encode() for name, path in zip(below(root, paths), paths, strict=True)]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _stamp(path: str | Path) -> str:
    try:
        status = os.stat(path)
    except OSError:  # a link that leads to nothing; reading it says so
        return " none"
    return f" {status.st_size} {status.st_mtime_ns}"
