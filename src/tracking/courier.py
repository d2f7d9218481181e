"""Ships a run to MLflow while it goes on and after it, in a process of its own: the run waits for no store.

The run names its folder on standard input; standard input that ends says that the run's process has. An argument names
the flavour of model that the run is likely to log: what that needs is imported while the run itself is still
importing, and not while it trains.
"""

import importlib
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlflow.exceptions import MlflowException

from src.runs.files import read_json
from src.runs.locks import mutex
from src.tracking import system_metrics
from src.tracking.mlflow_upload import Shipment, ship

PATIENCE = 120  # seconds for which a courier tries to ship the end of a run
FOR_THE_RUN = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1)  # sent to all processes at once; the courier then tells its end
REFUSED = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED", "UNAUTHENTICATED")


def main() -> None:
    """Ships one run while its process lives, then closes it, and whatever runs beside it were killed."""
    folder = called("w", ready=lambda: importlib.import_module("src.tracking.models").get_ready(sys.argv[1]))
    if folder is None:
        return  # the run never began
    with mutex(folder / ".courier.lock"):  # the courier of the stage before may still be busy with the folder
        killed = not _attend(folder)
    if killed:
        ship(folder)
    for other in folder.parent.iterdir():
        if other != folder and read_json(other / "record.json").get("status") == "RUNNING":
            try:
                ship(other)
            except (MlflowException, OSError) as error:  # its own store may be away; this run is whole
                print(f"{other} stays here: {error}")


def called(mode: str, *, ready: Callable[[], None] = lambda: None) -> Path | None:
    """The folder that standard input names, once it does; None where it ends without.

    Args:
        mode: in which courier.log is opened, that takes what this process says.
        ready: what is done while the folder is waited for.
    """
    os.nice(19)  # it yields to what it ships
    for number in FOR_THE_RUN:
        signal.signal(number, signal.SIG_IGN)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ready()
    line = sys.stdin.readline().strip()
    if not line:
        return None
    log = open(Path(line) / "courier.log", mode, buffering=1)  # noqa: SIM115 - it lives as long as the process
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    return Path(line)


def _attend(folder: Path) -> bool:
    """Ships a run while its process lives, and then its end; False where it was killed before it could state one."""
    monitors, sampled = system_metrics.monitors(), 0.0
    shipment: Shipment | None = None
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        try:
            if shipment is None:
                shipment = Shipment(folder)
            if time.monotonic() - sampled > system_metrics.SAMPLING:
                shipment.sample(monitors)
                sampled = time.monotonic()
            shipment.metrics()
        except (MlflowException, OSError) as error:
            _wait(error)
    if read_json(folder / "record.json")["status"] == "RUNNING":
        return False
    until = time.monotonic() + PATIENCE
    while True:
        try:
            shipment = shipment or Shipment(folder)
            shipment.sample(monitors)
            shipment.close()
            return True
        except (MlflowException, OSError) as error:
            if time.monotonic() > until:
                raise
            _wait(error)


def _wait(error: MlflowException | OSError) -> None:
    """Waits for a store that is away; the journal keeps everything. What the store refuses is not tried again."""
    if isinstance(error, MlflowException) and error.error_code in REFUSED:
        raise error
    print(f"waiting for the store: {error}")
    time.sleep(2)


if __name__ == "__main__":
    # mlflow.pytorch would import Lightning, for a feature that is not used here, and double its own time.
    sys.modules.setdefault("pytorch_lightning", None)  # type: ignore[arg-type]
    main()
