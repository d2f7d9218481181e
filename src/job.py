"""One process of a job that trains a submitted run: `python -m src.job runs/cnn-1a2b3c4d`, which the job's script starts."""

import os
import signal
import sys
from pathlib import Path

from src.config import command_line
from src.distributed import rendezvous
from src.launch import slurm, worker
from src.launch.submission import Submission
from src.runs.folder import Run
from src.train import train

WAIT = 60.0  # seconds for the record to reach the store: SLURM ends what a job leaves behind


def main(folder: Path) -> int:
    """Trains the run in the first process of the job, and takes part in its training in the others."""
    os.environ.update(slurm.torch_environment(os.environ))
    if rendezvous.rank() > 0:
        for number in (signal.SIGTERM, signal.SIGUSR1):  # every process of a job gets them; the first one decides
            signal.signal(number, signal.SIG_IGN)
        return worker.main()

    def work() -> None:
        command_line.environment()
        config, test, code = Submission(Run(folder)).load()
        config.tracking.wait = max(config.tracking.wait, WAIT)
        train(config, test=test, code=code)

    with rendezvous.dismissing():
        sys.exit(command_line.guard(work))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
