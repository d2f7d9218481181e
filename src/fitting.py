"""What a fit by Lightning's Trainer needs around it: warnings, interrupts, profilers, callbacks, several processes."""

import logging
import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, profilers
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import Strategy

from src import checkpoints

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)  # tips, and a line for each device that is not there
# Lightning recommends loader workers, which a batch by one index does not need, counts blocks as steps, walks through
# containers by a function that torch has renamed, and wants to reduce over the processes what a task has reduced already.
for message in ("does not have many workers", "smaller than the logging interval", "treespec, LeafSpec", "sync_dist=True"):
    warnings.filterwarnings("ignore", message=f".*{message}.*")

PROFILERS = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}


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


def fit(trainer: Trainer, *arguments: Any, **keywords: Any) -> None:
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


def watching(callbacks: Sequence[Callback]) -> list[str]:
    """The names of the callbacks that have something to do at each batch."""
    hooks = ("on_train_batch_start", "on_train_batch_end")
    return [
        type(callback).__name__
        for callback in callbacks
        if any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)
    ]
