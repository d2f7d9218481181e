"""Where a study is stored: an Optuna journal in its folder, or PostgreSQL; and the lock under which trials are counted."""

from __future__ import annotations

import fcntl
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock, get_lock_file

from src.errors import InputError
from src.runs.files import no_link
from src.runs.locks import mutex
from src.tracking.journal import mend

Lock = Callable[[], AbstractContextManager[None]]


def open_storage(url: str | None, folder: Path, name: str) -> tuple[BaseStorage, Lock]:
    """The storage of a study, and the lock under which its trials are counted.

    Args:
        url: of a PostgreSQL database; None for a journal in the folder.
        folder: of the study.
        name: of the study.

    Raises:
        InputError: a journal that is damaged or none, or a database that cannot be used.
    """
    if url is None:
        return _journal(folder / "study.journal"), lambda: mutex(folder / ".claim")
    if not url.startswith("postgresql"):
        raise InputError(
            f"sweep.storage={url}: expected null, for a journal in the study's folder, or postgresql+psycopg://user@host/database."
        )
    return _postgresql(url, name)


def _journal(path: Path) -> BaseStorage:
    lock = JournalLock(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        with get_lock_file(lock):
            json.loads((path.read_bytes().splitlines() or [b"{}"])[-1])  # Optuna would wait for the rest of a damaged line
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected the journal of an Optuna study; this file is damaged, or none ({error!r}). Move it away, or "
            "name another study (sweep.study=...)."
        ) from error
    return storage


def _postgresql(url: str, name: str) -> tuple[BaseStorage, Lock]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url, pool_pre_ping=True)
    key = zlib.crc32(name.encode())

    @contextmanager
    def advisory() -> Iterator[None]:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select pg_advisory_lock(:key)"), {"key": key})
            try:
                yield
            finally:
                connection.execute(sqlalchemy.text("select pg_advisory_unlock(:key)"), {"key": key})

    try:
        with advisory():
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True}), advisory
    except (sqlalchemy.exc.SQLAlchemyError, ModuleNotFoundError, RuntimeError) as error:  # the last: of another Optuna
        first = str(error).splitlines()[0]
        raise InputError(f"sweep.storage: {engine.url.render_as_string()} cannot be used: {first}") from error


class JournalLock(BaseJournalFileLock):
    """The lock of a journal file. It dies with its holder, and removes an incomplete last line that a killed writer left."""

    def __init__(self, path: Path):
        self._path = path

    def acquire(self) -> bool:
        self._file = open(f"{self._path}.lock", "a", opener=no_link)  # noqa: SIM115 - it lives until the release
        fcntl.flock(self._file, fcntl.LOCK_EX)
        mend(self._path)
        return True

    def release(self) -> None:
        self._file.close()
