"""How a prepared folder comes to be: under a temporary name beside its own, which it gets when it is complete."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from src.data import seal
from src.runs.files import naming, no_link

LOCK = ".preparing"


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """A new folder beside a prepared one. It is removed at the end of the block, unless `move` gave it another name.

    What processes left behind that were killed is removed first. A living one holds a lock, which it gets before its folder.
    """
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent)
        own = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        lock = own.with_name(f"{own.name}{LOCK}")
        with open(lock, "a+", opener=no_link) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                own.mkdir()
                yield own
            except OSError as error:
                if str(error.filename).startswith(str(own)):  # a user knows the other name
                    error.filename = str(folder)
                raise
            finally:
                _remove(lock)


def move(temporary: Path, folder: Path) -> None:
    """Renames a complete folder, and removes the incomplete one that has its name. A complete one of another process stays."""
    while True:
        try:
            os.replace(temporary, folder)
            return
        except OSError:
            if folder.is_dir() and seal.missing(folder) is None:
                return
            if not folder.is_dir():
                raise
        with suppress(FileNotFoundError):  # another process may have moved it
            os.rename(folder, temporary.with_name(f"{temporary.name}.remnant"))


def _remove_leftovers(parent: Path) -> None:
    for lock in parent.glob(f".*{LOCK}"):
        with suppress(FileNotFoundError, BlockingIOError), open(lock, "r+", opener=no_link) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock)


def _remove(lock: Path) -> None:
    """Removes the folders that a lock is for, and then the lock."""
    own = lock.with_name(lock.name.removesuffix(LOCK))
    for path in (own, own.with_name(f"{own.name}.remnant")):
        shutil.rmtree(path, ignore_errors=True)
    lock.unlink(missing_ok=True)
