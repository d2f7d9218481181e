"""Ships a run that is over, whose courier was killed on its way with it: a process that the run's command leaves behind."""

import sys
import time

from src.runs.folder import Run
from src.tracking.courier import PATIENCE, called
from src.tracking.mlflow_upload import ship


def main() -> None:
    folder = called("a")
    if folder is None:
        return
    until = time.monotonic() + PATIENCE
    while Run(folder).locked() and time.monotonic() < until:  # by the command, which is about to end
        time.sleep(0.1)
    ship(folder)


if __name__ == "__main__":
    sys.modules.setdefault("pytorch_lightning", None)  # type: ignore[arg-type] # see the courier
    main()
