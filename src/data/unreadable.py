"""Files of a raw data set that cannot be read: left out up to a limit, and refused above it."""

from collections.abc import Sequence
from pathlib import Path

from src.data.notes import listed
from src.errors import InputError
from src.runs.files import write_atomic

SHOWN = 10  # files in the message; a file on disk has all of them


class Unreadable(InputError):
    """More files than the limit cannot be read.

    Args:
        message: without the files.
        reasons: why it cannot be read, by file.
    """

    def __init__(self, message: str, reasons: Sequence[tuple[str, str]]):
        self._message = message
        self._lines = [f"{file}: {reason}" for file, reason in reasons]
        super().__init__(":\n  ".join([message, "\n  ".join(self._lines[:SHOWN])]))

    def written(self, path: Path) -> InputError:
        """The error for the user. Where its message cannot have all files, they are written to a file that it names."""
        if len(self._lines) <= SHOWN:
            return self
        write_atomic(path, "".join(f"{line}\n" for line in self._lines).encode())
        return InputError(f"{self}\n  and {len(self._lines) - SHOWN:,} more. All of them: {path}")


def leave_out(reasons: Sequence[tuple[str, str]], *, count: int, limit: int, where: str, what: str) -> list[str]:
    """The note on files that are left out; none where all can be read.

    Args:
        reasons: why it cannot be read, by file.
        count: of all files.
        limit: files that may be left out.
        where: the data set.
        what: is counted, and what is wrong with it.

    Raises:
        Unreadable: more files than the limit.
    """
    received = f"{len(reasons):,} of {count:,} {what}"
    if len(reasons) > limit:
        raise Unreadable(
            f"{where}: {received}. Repair or remove them, or raise data.max_unreadable ({limit}), up to which they are left "
            "out and counted",
            reasons,
        )
    return [f"{received}, and are left out: {listed([file for file, _ in reasons])}."] if reasons else []
