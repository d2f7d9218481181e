"""The record of a run that is deleted: its run in the tracking store is deleted as MLflow does it.

MLflow marks a deleted run. `mlflow runs restore --run-id ID` brings it back, until `mlflow gc` removes it for good.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.errors import InputError
from src.runs.files import read_json
from src.runs.folder import Run
from src.runs.masking import mask
from src.tracking import store, upload_state

if TYPE_CHECKING:  # it imports mlflow
    from src.tracking.mlflow_store import Store


def check(folder: Path, uri: str) -> bool:
    """Whether the store may have a record of the run.

    Args:
        uri: of the user's store.

    Raises:
        InputError: the record is in another store.
    """
    named = _reference(folder).get("uri")
    if named is None:
        return False
    if not store.same(named, uri):
        raise InputError(
            f"{folder}: expected a record in {mask(uri)}, the store of your configuration; it is in {named}. Name that store: "
            f"uri={named}."
        )
    path = store.database(uri)
    return path is None or path.is_file()


def delete(folder: Path, uri: str) -> str | None:
    """Deletes the record in the store, where there is one; gives its id.

    Raises:
        InputError: the record is in another store.
    """
    if not check(folder, uri):
        return None
    os.environ.update(store.ENVIRONMENT)
    from src.tracking.mlflow_store import Store

    opened, known = Store(uri), _reference(folder)
    run = known.get("run") or _found(opened, known)
    if run is None or not opened.alive(run):
        return None
    opened.client.delete_run(run)
    return str(run)


def _found(opened: "Store", known: Mapping[str, Any]) -> str | None:
    """The run of a record that the store has not confirmed: its upload may have been killed."""
    experiment = opened.client.get_experiment_by_name(known["experiment"]) if {"experiment", "key"} <= known.keys() else None
    return opened.recorded(experiment.experiment_id, known["key"]) if experiment else None


def _reference(folder: Path) -> dict[str, Any]:
    """The store of a record, with its id there where the store has confirmed it, or the key by which it is found.

    A damaged file says nothing.
    """
    known: dict[str, Any] = {}
    for path, keys in ((Run(folder).record, ("uri", "experiment", "key")), (folder / upload_state.STATE, ("uri", "run"))):
        with suppress(InputError):
            content = read_json(path)
            known |= {key: content[key] for key in keys if key in content}
    return known
