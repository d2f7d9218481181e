"""Which run a user means: by its folder, by the name of its folder, or by its id in MLflow."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from src.errors import InputError
from src.runs.files import read_json
from src.runs.folder import UPLOADED

MLFLOW = "runs:/"  # an id follows


def find(name: str, *, runs: Path) -> Path | None:
    """The folder of a run; None where there is none.

    Args:
        name: a folder, the name of one in the folder of runs, or `runs:/ID`, by the id that MLflow gave a run whose folder is
            there.
        runs: the folder of runs.
    """
    if name.startswith(MLFLOW):
        number = name.removeprefix(MLFLOW).rstrip("/")
        return next((path for path in runs.glob("*") if _uploaded(path).get("run") == number), None)
    return next((path for path in (Path(name), runs / name) if name and path.is_dir()), None)


def _uploaded(folder: Path) -> Mapping[str, Any]:
    with suppress(InputError):  # the damaged file of one run hides no other
        return read_json(folder / UPLOADED)
    return {}


def folder(key: str, name: str, *, runs: Path) -> Path:
    """The folder of a run that a key of the command line names.

    Raises:
        InputError: there is none.
    """
    found = find(name, runs=runs)
    if found is None:
        raise InputError(
            f"{key}={name}: expected the folder of a run, the name of one in {runs}, or runs:/ID of MLflow for a run that is "
            f"there; there is none. `ls {runs}` shows the runs."
        )
    return found
