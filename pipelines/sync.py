"""Uploads every record that the tracking store lacks: `python -m pipelines.sync`, or `... uri=http://tracking:5000`.

    runs=runs     the folder of the runs
    uri=          the store; the user's own if none is stated

The store is the user's own. A record that names another one may be someone else's, and stays here unless `uri=` says where all
of them go.

For records that were kept on this machine while the store was away, for a database that was deleted, and for runs
whose process was killed, which are closed as that.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipelines.results import own_store
from src.config import command_line
from src.errors import InputError, RunFailed
from src.runs.files import write_json
from src.runs.masking import mask
from src.tracking import deferred_upload, store, upload_state


def main(arguments: Sequence[str]) -> None:
    command_line.environment()
    options = command_line.keywords(arguments, runs="runs", uri="")
    root = Path(options["runs"])
    folders = sorted(path.parent for path in root.glob("*/record.json"))
    studies = sorted(path.parent for path in root.glob("sweeps/*/record.json"))
    if not folders and not studies:
        raise InputError(f"runs={root}: expected a folder of runs with their records; there is none. Train something first.")
    uri = options["uri"] or own_store()
    if away := store.check(uri):
        raise RunFailed(f"{away}. Nothing is lost; call this again when it is back.")
    done, busy, failed = 0, 0, []
    for folder in [*folders, *studies]:
        try:
            if upload_state.living(folder):
                busy += 1
                continue
            if options["uri"]:
                for one in (folder, *folder.glob("trial-*")):
                    with suppress(InputError):  # the upload says what is wrong with the record
                        _move(one, uri)
            done += deferred_upload.upload(folder, uri)
        except Exception as error:  # one broken record does not hold up the others
            failed.append(str(error) if str(error).startswith(f"{folder}: ") else f"{folder}: {error}")
    print(f"sync: {done} records are whole in the store, {busy} are going on, {len(failed)} failed")
    if failed:
        raise RunFailed("\n  ".join(failed))


def _move(folder: Path, uri: str) -> None:
    """Has a record name this store."""
    record = upload_state.read_record(folder)
    if record and record["uri"] != mask(uri):
        write_json(folder / "record.json", {**record, "uri": mask(uri)})


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
