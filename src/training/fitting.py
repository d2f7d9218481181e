"""What a fit by Lightning's Trainer needs around it: warnings, interrupts, the batches, and where it starts."""

import logging
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from enum import Enum
from itertools import chain, islice
from pathlib import Path

from lightning.pytorch import Callback, Trainer

from src.data.loader import Batches
from src.distributed import processes
from src.optimization.divergence import RolledBack
from src.protocols import Batch
from src.runs import checkpoints
from src.runs.files import write_atomic
from src.tasks.base import Task
from src.training.callbacks.sink_stopping import StopRequested

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)  # tips, and a line for each device that is not there
# Lightning recommends loader workers, which a batch by one index does not need. It counts blocks as steps, walks through
# containers by a function that torch has renamed, wants to reduce over the processes what a task has reduced already, and
# wants every command on a cluster to start by srun.
IGNORED_WARNINGS = (
    "does not have many workers", "smaller than the logging interval", "treespec, LeafSpec", "sync_dist=True", "`srun` command"
)  # fmt: skip
for message in IGNORED_WARNINGS:
    warnings.filterwarnings("ignore", message=f".*{message}.*")


class End(Enum):
    """How a fit ended: as planned, at the sink's request, or by a divergence, after which a fit starts from good.ckpt."""

    FINISHED, STOPPED, ROLLED_BACK = range(3)


def fit(trainer: Trainer, task: Task, train: Batches, val: Batches, *, checkpoint: Path | None) -> End:
    """Lightning's fit. After an interrupt it raises KeyboardInterrupt, and the next interrupt is handled too.

    Lightning's own signal handlers are left out. That of SIGTERM ends an epoch where it cannot be resumed exactly, and waits
    for other processes inside the handler.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(task, train, val, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as ended:  # Lightning raises it for an interrupt
        if not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise ended.__context__ from None
    except RolledBack as diverged:
        if trainer.is_global_zero:
            print(f"divergence: {diverged}", file=sys.stderr)
        return End.ROLLED_BACK
    except StopRequested:
        return End.STOPPED
    return End.FINISHED


def first_batches(task: Task, batches: Batches, count: int) -> Iterator[Batch]:
    """So many batches of a split as they are validated, from the beginning of its first epoch's order."""
    again = copy(batches)
    again.position = again.epoch = 0
    for batch in islice(chain.from_iterable(again), count):
        (moved,) = task.transfer_batch_to_device([batch], task.device, 0)
        yield task.validated(moved)


def start(folder: Path, resume: Path | None) -> Path | None:
    """The checkpoint that a fit in a folder starts from: the folder's own last.ckpt, else that of another run, else None."""
    last = folder / "last.ckpt"
    if checkpoints.exists(last):
        return last
    if resume is not None and (best := resume.with_name("best.ckpt")).is_file():
        write_atomic(folder / best.name, best.read_bytes())  # it stays the best until a later epoch is better
    return resume


def watch_each_step(callbacks: Sequence[Callback]) -> bool:
    """Whether callbacks act at each batch. The first process prints their names."""
    hooks = ("on_train_batch_start", "on_train_batch_end")
    names = [
        type(callback).__name__
        for callback in callbacks
        if any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)
    ]
    if names and processes.rank() == 0:
        print(f"trainer: one optimizer step a call of the loop, because {', '.join(names)} acts at each.", file=sys.stderr)
    return bool(names)
