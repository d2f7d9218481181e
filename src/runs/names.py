"""Names that become folders and files: they lead nowhere else."""

import re
from pathlib import Path

from src.errors import InputError

LONGEST = 100  # characters; a run's folder adds some, and file systems take 255
NAME = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(key: str, value: object) -> str:
    """A name, as text.

    Raises:
        InputError: it is none, or could lead out of the folder that it is for.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not NAME.fullmatch(str(value)):
        raise InputError(
            f"{key}: expected a name of at most {LONGEST} letters, digits and ._- without a dot in front; received {value!r}. "
            "It names a folder or a file."
        )
    return str(value)


def check_folder(key: str, value: object) -> Path:
    """A folder that the user names; it may lie anywhere.

    Raises:
        InputError: it is empty, null or no text, or holds characters that cannot be printed.
    """
    if not isinstance(value, str) or not value.strip() or CONTROL.search(value):
        raise InputError(f"{key}: expected the name of a folder; received {value!r}. Name one.")
    return Path(value)
