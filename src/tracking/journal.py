"""metrics.jsonl: every value logged, once, on this machine first. What the store shows is uploaded from here."""

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from src.errors import InputError
from src.protocols import Sink
from src.runs.files import naming, no_link

BUFFERED = 1000  # points held before they are written
SECONDS = 1.0  # ... or so long
KEYS = {"name", "step", "epoch", "time", "value"}


class Journal(Sink):
    """Appends points; a point that is there already, from before an interruption, is not written again.

    Of what was `reopened` it is, where it has another value.

    `log` costs a few microseconds: values stay tensors until the buffer is written.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        mend(path)
        self._path = path
        self._seen = {(point["name"], point["step"]): point["value"] for point in read(path)}
        self._reopened: tuple[str, ...] = ()
        self._file = open(path, "a", opener=no_link)  # noqa: SIM115 - it lives as long as the journal
        self._buffer: list[tuple[Mapping[str, Any], int, int, int]] = []
        self._written = time.monotonic()

    def log(self, metrics: Mapping[str, Any], step: int, epoch: int) -> None:
        self._buffer.append((metrics, step, epoch, time.time_ns() // 1_000_000))
        if len(self._buffer) >= BUFFERED or time.monotonic() - self._written > SECONDS:
            self.write()

    def reopen(self, prefix: str) -> None:
        """Lets points whose names begin so have other values: what is evaluated anew may come to some."""
        self._reopened += (prefix,)

    def stands(self) -> bool:
        """Whether the file still has its name: whoever deletes the run folder takes it away."""
        with suppress(OSError):
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        return False

    def abandon(self) -> None:
        """Closes the file; what is in the buffer is lost."""
        self._file.close()

    def write(self) -> None:
        """Writes what is in the buffer.

        Raises:
            FileNotFoundError: the file was deleted meanwhile.
        """
        if not self.stands():
            raise FileNotFoundError(errno.ENOENT, "it was deleted while this process wrote to it", str(self._path))
        lines = []
        for metrics, step, epoch, at in self._buffer:
            for name, value in metrics.items():
                if (name, step) in self._seen and not name.startswith(self._reopened):
                    continue
                point = {"name": name, "step": step, "epoch": epoch, "time": at, "value": float(value)}
                if self._seen.get((name, step)) != point["value"]:
                    self._seen[name, step] = point["value"]
                    lines.append(json.dumps(point) + "\n")
        self._buffer.clear()
        with naming(self._path):
            self._file.write("".join(lines))
            self._file.flush()
        self._written = time.monotonic()

    def flush(self) -> None:
        """Makes everything so far survive a power failure."""
        self.write()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.flush()
        self._file.close()


def read(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The whole points from a byte offset on, each with `end`, the offset behind it.

    Where no line ends at the offset, because a line was removed since, all points come.

    Raises:
        InputError: a line is damaged.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{path}: expected a file; received a folder. Delete it; what the run logged is lost.")
    with open(path, "rb") as file:
        if offset:
            file.seek(offset - 1)
            offset = offset if file.read(1) == b"\n" else 0
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield {**_point(line, path, offset), "end": offset + len(line)}
            offset += len(line)


def _point(line: bytes, path: Path, offset: int) -> dict[str, Any]:
    with suppress(ValueError):
        point = json.loads(line)
        if isinstance(point, dict) and point.keys() >= KEYS:
            return point
    number = path.read_bytes()[:offset].count(b"\n") + 1
    raise InputError(
        f"{path}, line {number}: expected a value in JSON; the line is damaged. Delete it (sed -i {number}d {path}); its value "
        "is lost, and the same command then works."
    )


def mend(path: Path) -> None:
    """Cuts off a last line that a killed process left torn."""
    if not path.is_file() or not path.stat().st_size:
        return
    with open(path, "rb+", opener=no_link) as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
