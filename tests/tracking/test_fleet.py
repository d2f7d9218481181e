"""A study that is searched on another machine with a common folder, as this one sees it."""

import json
import os
import time

from src.runs import locks
from src.runs.files import write_json
from src.tracking.fleet import ship_study
from src.tracking.upload_state import SEARCHING
from tests.tracking.test_shipment import record


def test_a_study_is_closed_only_when_its_search_on_another_machine_is_silent(tmp_path):
    folder = tmp_path / "runs" / "sweeps" / "fnn"
    folder.mkdir(parents=True)
    write_json(folder / "record.json", record(tmp_path, status="RUNNING", ended=None, artifacts=[]))
    searching = folder / f"{SEARCHING}@another-machine"
    searching.write_text("process 7 on another-machine, since 2026-01-01 00:00:00")
    assert not ship_study(folder)
    assert json.loads((folder / "record.json").read_text())["status"] == "RUNNING"
    os.utime(searching, (time.time() - 2 * locks.DEAD_AFTER,) * 2)
    assert ship_study(folder)
    found = json.loads((folder / "record.json").read_text())
    assert (found["status"], found["tags"]["end"]) == ("KILLED", "DIED")
    assert json.loads((folder / ".shipped.json").read_text())["status"] == "KILLED"
