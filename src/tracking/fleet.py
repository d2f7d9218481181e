"""Ships a study and its trials to MLflow while the search goes on: one parent run, and a run inside it for each trial.

The search names the study's folder on standard input; standard input that ends says that the search has.
"""

import select
import sys
import time
from pathlib import Path

from mlflow.exceptions import MlflowException

from src.runs import locks
from src.runs.files import read_json, write_json
from src.runs.folder import Run
from src.runs.locks import mutex
from src.tracking.courier import PATIENCE, REFUSED, called
from src.tracking.mlflow_upload import Shipment, ship
from src.tracking.upload_state import SEARCHING, died, shipped

INTERVAL = 1.0  # seconds between looks for trials that have ended
PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs


class Fleet:
    """A study on its way into a store."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.parent = Shipment(folder)
        self._whole: set[Path] = set()

    def trials(self) -> None:
        """Ships every trial that has ended and is not in the store yet."""
        for folder in sorted(self.folder.glob("trial-*")):
            if folder in self._whole or read_json(folder / "record.json").get("status") in (None, "RUNNING"):
                continue
            if not shipped(folder):
                with mutex(folder / ".courier.lock"):
                    Shipment(folder, tags={PARENT: self.parent.state["run"]}).close()
            self._whole.add(folder)

    def close(self) -> None:
        """Ships the rest, killed trials as such, and the parent's end."""
        self.trials()
        for folder in sorted(self.folder.glob("trial-*")):
            if folder not in self._whole and not Run(folder).locked():
                ship(folder, tags={PARENT: self.parent.state["run"]})
        self.parent.close()


def ship_study(folder: Path) -> bool:
    """Ships a study that no living search ships; True where it did."""
    if locks.is_locked(folder / ".courier.lock") or locks.is_locked(folder / SEARCHING):
        return False
    with mutex(folder / ".courier.lock"):
        record = read_json(folder / "record.json")
        if record["status"] == "RUNNING":
            write_json(folder / "record.json", died(record, time.time_ns() // 1_000_000))
        Fleet(folder).close()
    return True


def main() -> None:
    folder = called("a")
    if folder is None:
        return  # the search never began
    with mutex(folder / ".courier.lock"):  # of several workers of one study, one ships it
        _attend(folder)


def _attend(folder: Path) -> None:
    fleet: Fleet | None = None
    until: float | None = None
    while True:
        ended = bool(select.select([sys.stdin], [], [], INTERVAL)[0])
        until = until or (time.monotonic() + PATIENCE if ended else None)
        try:
            fleet = fleet or Fleet(folder)
            if ended:
                fleet.close()
                return
            fleet.trials()
        except (MlflowException, OSError) as error:
            refused = isinstance(error, MlflowException) and error.error_code in REFUSED
            if refused or (until and time.monotonic() > until):
                raise
            print(f"waiting for the store: {error}")
            time.sleep(2)


if __name__ == "__main__":
    main()
