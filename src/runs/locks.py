"""Lock files that die with their holder, by the kernel on one machine and by signs of life between machines."""

import fcntl
import math
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from src.errors import InUse

PATIENCE = 3.0  # seconds that a process which was just killed may need to let go
BEAT = 5.0  # seconds between the signs of life of a holder
SILENT = 60.0  # seconds without one after which a holder on another machine counts as dead


@contextmanager
def hold(path: Path, *, patience: float = PATIENCE) -> Iterator[None]:
    """Holds a lock file, which names this process and is touched as a sign of life while the block lasts.

    A holder on another machine, whose lock the kernel may not show here, counts as living when it gives a sign of life
    while it is watched, and as dead when it has given none for so long.

    Args:
        patience: seconds to wait for another living process that holds it.

    Raises:
        InUse: another living process holds it.
    """
    with _taken(path, patience) as file:
        try:
            with _living(path, file):
                yield
        finally:
            file.truncate(0)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Holds a lock together with whoever else does so; `held` says so of it while one of them lives.

    The holders of a machine have a file of their own, `<name>@<machine>`, which they name and touch as `hold` does.
    """
    own = path.with_name(f"{path.name}@{socket.gethostname()}")
    with _flock(own, fcntl.LOCK_SH) as file:
        try:
            with _living(own, file):
                yield
        finally:
            with suppress(BlockingIOError):  # another one of this machine holds it still
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(0)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a lock file for something short, waiting for it; the kernel lets go of it with the process."""
    with _flock(path, fcntl.LOCK_EX):
        yield


def held(path: Path) -> bool:
    """Whether a living process holds a lock file, on this machine or another one, alone or with others."""
    return any(_held(file) for file in (path, *path.parent.glob(f"{path.name}@*")))


def _held(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with open(path, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return _silence(path) < SILENT


@contextmanager
def _flock(path: Path, how: int) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:  # NFS wants a file that can be read for a lock that is shared
        fcntl.flock(file, how)
        yield file


@contextmanager
def _living(path: Path, file: TextIO) -> Iterator[None]:
    """Names this process in its lock file, and touches it while the block lasts."""
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, over), daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()


def _taken(path: Path, patience: float) -> TextIO:
    began, sign, said = time.monotonic(), None, False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115 - it is handed over
        file.seek(0)
        holder = file.read() or "another process"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _stands(path, file):
                file.close()
                continue
            if _silence(path) >= SILENT:
                return file
            now = os.fstat(file.fileno()).st_mtime_ns
            living, sign = sign not in (None, now), now
        except BlockingIOError:
            living = True
        file.close()
        waited = time.monotonic() - began
        if living and waited >= patience:
            raise InUse(f"{path.parent} is in use by {holder}. Wait for it, or stop it; the same command then continues.")
        if waited >= PATIENCE and not said:
            print(f"waiting for {path.parent}, which is in use by {holder}.", file=sys.stderr)
            said = True
        time.sleep(0.1)


def _stands(path: Path, file: TextIO) -> bool:
    """Whether an open file is still the one of this name: a holder whose folder stays empty removes both."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _silence(path: Path) -> float:
    """Seconds since the holder gave its last sign of life; infinite where there is none, or it is of this machine.

    Both times are of the machine whose disk it is.
    """
    holder = re.fullmatch(r"process \d+ on (.+), since .+", path.read_text())
    if holder is None or holder[1] == socket.gethostname():
        return math.inf
    now = path.with_name(f".now.{socket.gethostname()}.{os.getpid()}")
    now.touch()
    silence = now.stat().st_mtime - path.stat().st_mtime
    now.unlink()
    return silence


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with suppress(OSError):
            os.utime(path)
