"""Deletes runs: the record in the tracking store first, then the folder, so that no record stays without its folder.

A folder goes into `.deleted` before its files are removed. What a killed command left there, the next deletion removes.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.results import own_store
from src.config.listing import Row
from src.errors import InputError, InUse, RunFailed
from src.runs import finding, locks
from src.tracking import deletion, store, upload_state

DELETED = ".deleted"  # in the folder of runs; what lies in it is no run any more
NAMED = 20  # runs that the question names


def named(names: Sequence[str], rows: Sequence[Row], *, root: Path) -> list[Row]:
    """The runs of these names.

    Args:
        names: of folders, as `finding.find` takes them. A name that a killed deletion left half deleted is none any more.

    Raises:
        InputError: a name is that of no run in the folder of runs.
    """
    known = {row.run.folder.resolve(): row for row in rows}
    left = {path.name for path in (root / DELETED).glob("*")}
    chosen = []
    for name in names:
        folder = finding.find(name, runs=root)
        row = known.get(folder.resolve()) if folder else None
        if row is not None:
            chosen.append(row)
        elif Path(name).name not in left:
            raise InputError(f"delete={name}: expected the name of a run in {root}; there is none. `ls {root}` shows the runs.")
    return chosen


def delete(rows: Sequence[Row], *, root: Path, uri: str, yes: bool) -> None:
    """Deletes the runs after asking; prints what is deleted.

    Args:
        uri: of the store of their records; the user's own where it is empty.
        yes: whether to delete without asking.

    Raises:
        InUse: one of them is running.
        InputError: nobody can be asked, or a record is in another store.
        RunFailed: the store does not answer. Nothing is deleted then.
    """
    _finish(root)
    if not rows:
        print("0 runs are left to delete")
        return
    uri = uri or own_store()
    _check(rows, uri)
    if not (yes or _agreed(rows)):
        print("nothing is deleted")
        return
    for row in rows:
        record = _delete(row.run.folder, root / DELETED, uri)
        print(f"deleted {row.run.folder}" + (f" and its record {record}" if record else ""), flush=True)
    _finish(root)
    print("`mlflow runs restore --run-id ID` brings a record back, without the folder, until `mlflow gc` removes it.")


def _check(rows: Sequence[Row], uri: str) -> None:
    if running := [row.run.folder.name for row in rows if row.run.locked()]:
        raise InUse(
            f"{', '.join(running)}: expected runs that are over; a process works on this. Stop it or wait. Nothing is deleted."
        )
    if links := [row.run.folder.name for row in rows if row.run.folder.is_symlink()]:
        raise InputError(
            f"{', '.join(links)}: expected folders; a link leads elsewhere. Delete it by hand. Nothing is deleted."
        )
    recorded = [deletion.check(row.run.folder, uri) for row in rows]
    if any(recorded) and (away := store.check(uri)):
        raise RunFailed(f"{away}. Nothing is deleted; call this again when it is back.")


def _agreed(rows: Sequence[Row]) -> bool:
    names = [row.run.folder.name for row in rows]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    size = sum(path.lstat().st_size for row in rows for path in row.run.folder.rglob("*")) / 1e6
    what = f"{', '.join(names[:NAMED])}{more}"
    if not sys.stdin.isatty():
        raise InputError(f"delete: expected a terminal to ask in, or yes=true; received neither. This would delete {what}.")
    try:
        answer = input(f"Delete {what} ({size:,.1f} MB), with what the tracking store has of it? [y/N] ")
    except EOFError:  # Ctrl-D
        answer = ""
    return answer.strip().lower() in ("y", "yes")


def _delete(folder: Path, deleted: Path, uri: str) -> str | None:
    """Deletes a record, and moves the folder among the deleted ones; gives the id of the record."""
    with locks.exclusive(folder / ".lock", timeout=0), locks.mutex(folder / upload_state.LOCK):
        record = deletion.delete(folder, uri)
        deleted.mkdir(exist_ok=True)
        folder.rename(deleted / folder.name)
    shutil.rmtree(deleted / folder.name)
    return record


def _finish(root: Path) -> None:
    """Removes what a killed deletion left."""
    for folder in sorted((root / DELETED).glob("*")):
        shutil.rmtree(folder)
        print(f"deleted {root / folder.name}, which a killed command had begun")
    if (root / DELETED).is_dir():
        (root / DELETED).rmdir()
