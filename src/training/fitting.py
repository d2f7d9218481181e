"""What a fit by Lightning's Trainer needs around it: warnings, interrupts, profilers, callbacks, several processes."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from enum import Enum
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, profilers
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import Strategy

from src.data.loader import Batches
from src.distributed import processes
from src.optimization.divergence import RolledBack
from src.protocols import Batch
from src.runs import checkpoints
from src.runs.files import write_atomic
from src.training.callbacks.sink_stopping import StopRequested

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)  # tips, and a line for each device that is not there
# Lightning recommends loader workers, which a batch by one index does not need, counts blocks as steps, walks through
# containers by a function that torch has renamed, wants to reduce over the processes what a task has reduced already, and
# would have every command typed on a cluster start by srun.
NOISE = (
    "does not have many workers", "smaller than the logging interval", "treespec, LeafSpec", "sync_dist=True", "`srun` command"
)  # fmt: skip
for message in NOISE:
    warnings.filterwarnings("ignore", message=f".*{message}.*")

# Arguments of Lightning's Trainer that are done otherwise here, and how.
_LIMITS = "trainer.limit_batches limits every part"
_VALIDATIONS = "each epoch ends with a validation, which schedules, checkpoints and early stopping go by"
_OURS = "the run's own are used"
OTHERWISE = {
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"), _LIMITS),
    **dict.fromkeys(("check_val_every_n_epoch", "val_check_interval", "num_sanity_val_steps"), _VALIDATIONS),
    **dict.fromkeys(("logger", "callbacks", "plugins", "default_root_dir", "enable_checkpointing"), _OURS),
    **dict.fromkeys(("enable_model_summary", "use_distributed_sampler"), "it would do nothing here"),
    "gradient_clip_algorithm": "gradients are clipped by their norm",
    "fast_dev_run": "+debug=fdr does it",
    "enable_progress_bar": "trainer.progress_bar says it",
}

PROFILERS = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}
COMPILED = ("default", "reduce-overhead", "max-autotune")


def check(*, compile: str | None, max_epochs: int | None, max_steps: int, gradient_clip_val: float | None) -> None:
    """Refuses a mode that torch.compile lacks, a training without an end, and a clipping that takes all of a gradient."""
    if compile not in (None, *COMPILED):
        raise ValueError(f"trainer.compile: expected null or one of {', '.join(COMPILED)}; received {compile}.")
    if not max_epochs and max_steps < 0:
        raise ValueError(f"trainer: expected max_epochs or max_steps; received {max_epochs} and {max_steps}.")
    if gradient_clip_val is not None and gradient_clip_val <= 0:
        raise ValueError(f"trainer.gradient_clip_val: expected null or more than 0; received {gradient_clip_val}.")


def check_counts(*, least: int = 1, optional: bool = False, **counts: int | None) -> None:
    """Refuses what is not a whole number of so many, or null where it may be; the names are those of the trainer's settings."""
    for name, count in counts.items():
        if not (optional and count is None) and (type(count) is not int or count < least):
            null = ", or null" if optional else ""
            raise ValueError(f"trainer.{name}: expected a whole number from {least}{null}; received {count}.")


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuses arguments of Lightning's Trainer that would have no effect here, or another one than its documentation says.

    A training without validations, by `limit_val_batches` of 0, is for what keeps none of its weights and has no epochs' ends.
    """
    for name, value in arguments.items():
        if name in OTHERWISE and (name, value) != ("limit_val_batches", 0):
            raise ValueError(f"trainer.{name}: expected none, for {OTHERWISE[name]}. Leave it out.")


def trainer(
    folder: Path,
    *,
    devices: int,
    num_nodes: int,
    strategy: Callable[[], Strategy] | None,
    profiler: str | None = None,
    **arguments: Any,
) -> Trainer:
    """The Trainer of a fit, without what others do here, for processes that are running already.

    Args:
        profiler: simple, advanced or pytorch; it writes into the folder.
        arguments: of the Trainer.
    """
    if profiler not in (None, *PROFILERS):
        raise ValueError(f"trainer.profiler: expected one of {', '.join(PROFILERS)}; received {profiler}.")
    several = devices * num_nodes > 1
    if profiler is not None:
        arguments["profiler"] = getattr(profilers, PROFILERS[profiler])(dirpath=folder, filename="profile")
    if several:
        arguments["strategy"] = strategy() if strategy else "ddp"
    # Lightning itself would take the job of a cluster in which the command was typed for the training's processes, and it
    # warns of every training that srun has not started where there is one.
    own = not torch.distributed.is_torchelastic_launched()
    return Trainer(
        **arguments,
        devices=devices,
        num_nodes=num_nodes,
        plugins=[checkpoints.AtomicIO(), *([LightningEnvironment()] if own else [])],
        use_distributed_sampler=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


class End(Enum):
    """How a fit ended: as planned, at the sink's request, or by a divergence, after which a fit starts from good.ckpt."""

    FINISHED, STOPPED, ROLLED_BACK = range(3)


def fit(trainer: Trainer, *arguments: Any, **keywords: Any) -> End:
    """Lightning's fit, after which an interrupt is an interrupt still, and the next one is heard.

    Lightning's own handlers are left out: that of SIGTERM ends an epoch where it cannot be resumed exactly, and waits for other
    processes inside the handler.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(*arguments, **keywords)
    except SystemExit as ended:  # what Lightning makes of an interrupt
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


def sample(task: Any, batches: Batches, count: int) -> Iterator[Batch]:
    """So many batches of a part, as they are validated: from the beginning of its first epoch's order, wherever it stands."""
    again = copy(batches)
    again.position = again.epoch = 0
    for batch in islice(chain.from_iterable(again), count):
        (moved,) = task.transfer_batch_to_device([batch], task.device, 0)
        yield task.validated(moved)


def start(folder: Path, resume: Path | None) -> Path | None:
    """The checkpoint that a fit in a folder goes on from, None for none: the folder's own, else that of another run."""
    last = folder / "last.ckpt"
    if checkpoints.exists(last):
        return last
    if resume is not None and (best := resume.with_name("best.ckpt")).is_file():
        write_atomic(folder / best.name, best.read_bytes())  # it stays the best until a later epoch is better
    return resume


def watching(callbacks: Sequence[Callback]) -> bool:
    """Whether callbacks have something to do at each batch, which is said."""
    hooks = ("on_train_batch_start", "on_train_batch_end")
    names = [
        type(callback).__name__
        for callback in callbacks
        if any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)
    ]
    if names and processes.rank() == 0:
        print(f"trainer: one optimizer step a call of the loop, for {', '.join(names)} watches each.", file=sys.stderr)
    return bool(names)
