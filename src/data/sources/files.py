"""Where raw files lie: below a folder of the user's own, or published somewhere, with their hashes known."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from src.errors import InputError


class Own:
    """Files below a folder of the user's own."""

    def __init__(self, *, root: str):
        self.root = Path(root)
        self.origin = self.root.name

    def names(self, folder: str) -> list[str]:
        """Of the files in a folder, less the hidden ones, as paths below the root."""
        if not (self.root / folder).is_dir():
            raise InputError(f"data.root={self.root}: expected a folder {folder} in it; there is none.")
        return [str(path.relative_to(self.root)) for path in (self.root / folder).glob("[!.]*") if path.is_file()]

    def content(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def state(self, names: Iterable[str]) -> str:
        return state(self.root, [self.root / name for name in names])


class Published:
    """Files with known hashes: from DATA_CACHE, from the downloads, or from a mirror.

    Args:
        name: the folder that is looked for in the folder named by the variable DATA_CACHE.
        folder: where downloads go.
        mirrors: addresses that end in a slash, tried in this order.
        files: SHA-256 by file name, which may have folders in it.
    """

    def __init__(self, *, name: str, folder: str, mirrors: Sequence[str], files: Mapping[str, str]):
        self.name = name
        self.folder = Path(folder) / name
        self.mirrors = list(mirrors)
        self.files = dict(files)
        self.origin = self.mirrors[0]

    def names(self, folder: str) -> list[str]:
        return [name for name in self.files if name.rpartition("/")[0] == folder]

    def state(self, names: Iterable[str]) -> str:
        return ",".join(self.files[name] for name in names)

    def content(self, file: str) -> bytes:
        """The file's bytes; its hash is checked in any case."""
        cache = os.environ.get("DATA_CACHE")
        for folder in ([Path(cache) / self.name] if cache else []) + [self.folder]:
            path = folder / file
            if path.is_file():
                content = path.read_bytes()
                received = hashlib.sha256(content).hexdigest()
                if received != self.files[file]:
                    raise InputError(
                        f"{path}: expected SHA-256 {self.files[file]}; received {received} ({len(content)} bytes: truncated "
                        "or altered). Delete the file; the next command fetches it again."
                    )
                return content
        return self._download(file).read_bytes()

    def _download(self, file: str) -> Path:
        import pooch  # only where something has to be fetched

        reasons = []
        for mirror in self.mirrors:
            try:
                return Path(
                    pooch.retrieve(
                        mirror + file,
                        known_hash=self.files[file],
                        fname=file,
                        path=self.folder,
                        downloader=pooch.HTTPDownloader(progressbar=os.isatty(2), timeout=30),
                    )
                )
            except (OSError, ValueError) as error:  # no connection, an HTTP status, or another hash
                reasons.append(f"{mirror}: {str(error).splitlines()[0][:120]}")
        raise InputError(
            f"{file} could not be fetched. Put it into $DATA_CACHE/{self.name}/ or into {self.folder}/ by hand.\n  "
            + "\n  ".join(reasons)
        )


def state(root: Path, paths: Iterable[Path]) -> str:
    """A digest of every file's name, size and time of change."""
    lines = [f"{path.relative_to(root)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
