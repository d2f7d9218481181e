"""Names that become folders and files: they lead nowhere else."""

import re
from pathlib import Path

from src.errors import InputError
from src.value_types import Name, mismatch

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(key: str, value: object) -> str:
    """A name, also one that a stored file states.

    Raises:
        InputError: it is none, or could lead out of the folder that it is for.
    """
    if (expected := mismatch(value, Name)) is not None:
        raise InputError(f"{key}: expected {expected}; received {value!r}. It names a folder or a file.")
    return str(value)


def check_folder(key: str, value: object) -> Path:
    """A folder that the user names; it may lie anywhere.

    Raises:
        InputError: it is empty, null or no text, or holds characters that cannot be printed.
    """
    if not isinstance(value, str) or not value.strip() or CONTROL.search(value):
        raise InputError(f"{key}: expected the name of a folder; received {value!r}. Name one.")
    return Path(value)
