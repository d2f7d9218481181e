"""Uploads every record that the tracking store lacks: `python -m pipelines.sync`, or `... uri=http://tracking:5000`.

For records that were kept on this machine while the store was away, for a database that was deleted, and for runs
whose process was killed, which are closed as that.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from src.config import command_line
from src.errors import InputError, RunFailed
from src.runs.files import read_json, write_json
from src.tracking import deferred_upload, store, upload_state


def main(arguments: Sequence[str]) -> None:
    options = command_line.keywords(arguments, runs="runs", uri="")
    root = Path(options["runs"])
    folders = sorted(path.parent for path in root.glob("*/record.json"))
    studies = sorted(path.parent for path in root.glob("sweeps/*/record.json"))
    if not folders and not studies:
        raise InputError(f"runs={root}: expected a folder of runs with their records; there is none. Train something first.")
    reasons = {uri: store.check(uri) for uri in {_move(folder, options["uri"]) for folder in [*folders, *studies]}}
    away = [reason for reason in reasons.values() if reason]
    if away:
        raise RunFailed(f"{away[0]}. Nothing is lost; call this again when it is back.")
    for study in studies:
        for folder in study.glob("trial-*"):
            if (folder / "record.json").is_file():
                _move(folder, options["uri"])
    done, busy, failed = 0, 0, []
    for folder in [*folders, *studies]:
        if upload_state.living(folder):
            busy += 1
            continue
        try:
            done += deferred_upload.upload(folder)
        except Exception as error:  # one broken record does not hold up the others
            failed.append(f"{folder}: {error}")
    print(f"sync: {done} records are whole in the store, {busy} are going on, {len(failed)} failed")
    if failed:
        raise RunFailed("\n  ".join(failed))


def _move(folder: Path, uri: str) -> str:
    """The store of a record; another one where the command line names it."""
    record = read_json(folder / "record.json")
    if uri and record["uri"] != uri:
        record["uri"] = uri
        write_json(folder / "record.json", record)
    return record["uri"]


if __name__ == "__main__":
    command_line.environment()
    sys.exit(command_line.guard(lambda: main(sys.argv[1:])))
