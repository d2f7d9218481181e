"""Files that are written whole or not at all, JSON among them."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.errors import InputError


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())


def no_link(path: str, flags: int) -> int:
    """An opener for files that are written in place: a link, which may come from someone else, is not followed."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path}: expected a file; received a link, which would change another file. Remove it.") from error


def confined(folder: Path, name: str) -> Path:
    """A file of a folder, by a name that may come from someone else.

    Raises:
        InputError: it lies outside the folder, or is a link that leads there.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{folder}: expected files of this folder; received {name}, which lies outside. Remove its name there."
        )
    return path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path, which becomes the file when the block ends well, and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes, *, private: bool = False) -> None:
    """Writes the whole file or, when the disk is full or the process killed, nothing.

    Args:
        private: whether only its owner may read it.
    """
    with atomic(path) as temporary:
        if private:
            temporary.unlink(missing_ok=True)
            temporary.touch(mode=0o600)
        temporary.write_bytes(content)
