"""Files that are written whole or not at all, JSON among them."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.errors import InputError

REMEDY = "Delete it and metrics.json beside it; the command that trained the run then writes both anew."


def read_json(path: Path, *, keys: Sequence[str] = (), remedy: str = REMEDY) -> dict[str, Any]:
    """The content of a JSON file that holds keys; empty where there is no file.

    Args:
        keys: which it must have.
        remedy: what to do where it is damaged; for a file of a run folder where none is stated.

    Raises:
        InputError: it is damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except IsADirectoryError as error:
        raise InputError(f"{path}: expected a file; received a folder. {remedy}") from error
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError(f"{path}: expected a whole JSON file; it is damaged: {error}. {remedy}") from error
    if not isinstance(content, dict) or (missing := [key for key in keys if key not in content]):
        received = f"no {', '.join(missing)}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected a JSON file with keys and values; received {received}. {remedy}")
    return content


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
def naming(path: Path) -> Iterator[None]:
    """Gives an error of the disk that names no file, as that of a write, the name of the file that is written."""
    try:
        yield
    except OSError as error:
        if error.errno is None and not shutil.disk_usage(path.parent).free:  # NumPy says only how much it wrote
            raise OSError(errno.ENOSPC, str(error), str(path)) from error
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            error.filename = str(path)
        raise


@contextmanager
def atomic(path: Path, *, parents: bool = True) -> Iterator[Path]:
    """A temporary path, which becomes the file when the block ends well, and is removed when it does not.

    Args:
        parents: whether to make the folders that are not there.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
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
