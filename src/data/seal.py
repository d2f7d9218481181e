"""The seal of a prepared folder: the size, the modification time and the SHA-256 of each file, by which a change is noticed.

Sizes and times are compared whenever the folder is opened. Where they differ, as in a copy of the folder, the files are read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from src.errors import InputError
from src.runs.files import write_json

NAME = "seal.json"


def write(folder: Path, digests: Mapping[str, str]) -> None:
    """Seals the files that the folder has now.

    Args:
        digests: of those files whose SHA-256 is known, by name.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != NAME and not path.name.startswith("."))
    write_json(folder / NAME, {path.name: {**_stamp(path), "sha256": digests.get(path.name) or digest(path)} for path in files})


def missing(folder: Path) -> str | None:
    """The name of a file that a sealed folder lacks; None where it has all."""
    seal = _read(folder)
    return NAME if not seal else next((name for name in seal if not (folder / name).is_file()), None)


def check(folder: Path) -> None:
    """Refuses a folder of which a file was changed since it was sealed; none is missing.

    Raises:
        InputError: with the name of the file, and how the folder is prepared anew.
    """
    seal = _read(folder)
    touched = [
        name for name, sealed in seal.items() if _stamp(folder / name) != {key: sealed[key] for key in ("size", "mtime")}
    ]
    for name in touched:
        if digest(folder / name) != seal[name]["sha256"]:
            raise InputError(
                f"{folder / name}: expected the prepared data as they were written; this file was changed since. "
                f"Delete the folder (rm -r {folder}); the same command then prepares it anew."
            )
    if touched:
        with suppress(OSError):  # a folder that only others may write is read whole each time
            write_json(folder / NAME, {name: {**_stamp(folder / name), "sha256": seal[name]["sha256"]} for name in seal})


def _read(folder: Path) -> dict[str, Any]:
    """The seal; empty where there is none, or only a piece of one."""
    try:
        return json.loads((folder / NAME).read_text())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return {}


def _stamp(path: Path) -> dict[str, int]:
    status = os.stat(path)
    return {"size": status.st_size, "mtime": status.st_mtime_ns}


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
