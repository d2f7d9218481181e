"""Lock files that are released with their holder: by the kernel on one machine, by missing heartbeats between machines."""

import fcntl
import math
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from src.errors import InUse
from src.runs.files import no_link

TIMEOUT = 3.0  # seconds that a process which was just killed may need to let go
HEARTBEAT = 5.0  # seconds between the heartbeats of a holder
DEAD_AFTER = 60.0  # seconds without a heartbeat after which a holder on another machine counts as dead


@contextmanager
def exclusive(path: Path, *, timeout: float = TIMEOUT) -> Iterator[Callable[[], bool]]:
    """An exclusive lock. The file names this process, and a heartbeat touches it while the block lasts.

    The block gets a function that says whether the lock still has its name: whoever deletes its folder takes both away.

    The kernel may not show a lock of another machine here. Such a holder counts as living when a heartbeat comes while it is
    watched, and as dead when none has come for `DEAD_AFTER`.

    Args:
        timeout: seconds to wait for another living holder.

    Raises:
        InUse: another living process holds the lock.
    """
    with _acquired(path, timeout) as file:
        try:
            with _beating(path, file):
                yield partial(_has_name, path, file)
        finally:
            file.truncate(0)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """A shared lock: several processes hold it at once, and `is_locked` is true while one of them lives.

    The holders of one machine have a file of their own, `<name>@<machine>`, with a heartbeat as in `exclusive`.
    """
    own = path.with_name(f"{path.name}@{socket.gethostname()}")
    with _flock(own, fcntl.LOCK_SH) as file:
        try:
            with _beating(own, file):
                yield
        finally:
            with suppress(BlockingIOError):  # another holder of this machine still lives
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(0)


@contextmanager
def mutex(path: Path) -> Iterator[None]:
    """An exclusive lock for a short block. It waits as long as it must; the kernel releases it with the process."""
    with _flock(path, fcntl.LOCK_EX):
        yield


def is_locked(path: Path) -> bool:
    """Whether a living process of this machine or of another one holds the lock, exclusive or shared."""
    return any(_is_locked(file) for file in (path, *path.parent.glob(f"{path.name}@*")))


def _is_locked(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with open(path, "a+", opener=no_link) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return _silence(path) < DEAD_AFTER


@contextmanager
def _flock(path: Path, mode: int) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", opener=no_link) as file:  # for a shared lock NFS wants a file that can be read
        fcntl.flock(file, mode)
        yield file


@contextmanager
def _beating(path: Path, file: TextIO) -> Iterator[None]:
    """Names this process in its lock file, and touches the file while the block lasts."""
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(file.fileno(), over), daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()


def _acquired(path: Path, timeout: float) -> TextIO:
    began, heartbeat, announced = time.monotonic(), None, False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", opener=no_link)  # noqa: SIM115 - the caller closes it
        file.seek(0)
        holder = file.read() or "another process"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _has_name(path, file):
                file.close()
                continue
            if _silence(path) >= DEAD_AFTER:
                return file
            latest = os.fstat(file.fileno()).st_mtime_ns
            living, heartbeat = heartbeat not in (None, latest), latest
        except BlockingIOError:
            living = True
        file.close()
        waited = time.monotonic() - began
        if living and waited >= timeout:
            raise InUse(f"{path.parent} is in use by {holder}. Wait for it, or stop it; the same command then continues.")
        if waited >= TIMEOUT and not announced:
            print(f"waiting for {path.parent}, which is in use by {holder}.", file=sys.stderr)
            announced = True
        time.sleep(0.1)


def _has_name(path: Path, file: TextIO) -> bool:
    """Whether an open file still has this name: a holder whose folder stays empty removes both."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _silence(path: Path) -> float:
    """Seconds since the holder's last heartbeat; infinite where there is no holder, or one of this machine.

    Both times come from the machine whose disk it is.
    """
    holder = re.fullmatch(r"process \d+ on (.+), since .+", path.read_text())
    if holder is None or holder[1] == socket.gethostname():
        return math.inf
    now = path.with_name(f".now.{socket.gethostname()}.{os.getpid()}")
    now.touch()
    silence = now.stat().st_mtime - path.stat().st_mtime
    now.unlink()
    return silence


def _beat(descriptor: int, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT):
        with suppress(OSError):
            os.utime(descriptor)  # not the name, which may be another holder's by now
