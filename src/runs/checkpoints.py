"""The one writer and reader of checkpoints: atomic, with a checksum, and without pickled objects."""

import hashlib
import io
import logging
import os
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from src.errors import InputError, RunFailed
from src.runs.files import atomic

MARK = b"sha256:"  # then 32 bytes; torch's own reader does not mind what follows the archive
TRAILER = len(MARK) + 32
log = logging.getLogger(__name__)


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors and plain containers. The file that was there stays beside it as `<name>.prev`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()  # as it lies: a copy of a large network's would need its memory twice
    for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed while it wrote
        left.unlink()
    with atomic(path, parents=False) as temporary:  # a run folder that was deleted meanwhile is not made again
        with open(temporary, "wb") as file:
            file.write(data)
            file.write(MARK + hashlib.sha256(data).digest())
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # only now that the new one is whole: there are never fewer than two
            spare = path.with_name(f".{path.name}.prev")
            os.link(path, spare)
            os.replace(spare, path.with_name(f"{path.name}.prev"))


def read(path: Path, *, exact: bool = False) -> dict[str, Any]:
    """Reads a checkpoint; where it is damaged, the one before it, with a warning.

    Args:
        exact: whether only this one will do, as the best one, which no training repeats.

    Raises:
        RunFailed: neither is whole.
        InputError: it holds other objects, which would run code.
    """
    content, before = _whole(path), path.with_name(f"{path.name}.prev")
    if content is None and not exact:
        content = _whole(before)
        if content is not None and path.is_file():
            log.warning("%s is read instead, the checkpoint before it; the training since then is repeated.", before)
            with suppress(OSError):  # the next write would replace the whole one by it
                path.rename(path.with_name(f"{path.name}.damaged"))
    if content is None:
        wanted = "a whole checkpoint" if exact else f"a whole checkpoint, there or in {before.name}; neither is"
        raise RunFailed(f"{path}: expected {wanted}. Remove {path.parent}, and the same command trains from the start.")
    return content


def exists(path: Path) -> bool:
    """Whether there is a checkpoint, or one before it."""
    return path.is_file() or path.with_name(f"{path.name}.prev").is_file()


def own(path: Path) -> bool:
    """Whether a file was written here: it ends with the mark."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TRAILER))
        return file.read(len(MARK)) == MARK


class AtomicIO(CheckpointIO):
    """Lets Lightning's own savers go through the writer above."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None) -> None:
        write(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | os.PathLike, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read(Path(path))

    def remove_checkpoint(self, path: str | os.PathLike) -> None:
        Path(path).unlink(missing_ok=True)


def _whole(path: Path) -> dict[str, Any] | None:
    """The content of a file; None where there is none, or it is damaged."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    body, trailer = data[:-TRAILER], data[-TRAILER:]
    if trailer == MARK + hashlib.sha256(body).digest():
        try:
            return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        except UnpicklingError as error:  # it is whole, and was not written by `write`
            raise InputError(
                f"{path}: expected tensors and plain containers; received other objects, which would run code: {error}"
            ) from error
    log.warning("%s is damaged: its checksum does not fit its %d bytes.", path, len(data))
    return None
