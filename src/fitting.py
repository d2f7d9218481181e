"""What a fit by Lightning's Trainer needs around it: its warnings, its interrupts, its profilers, its callbacks."""

import logging
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)  # tips, and a line for each device that is not there
# Lightning recommends loader workers, which a batch by one index does not need, counts blocks as steps, and walks
# through containers by a function that torch has renamed.
for message in (".*does not have many workers.*", ".*smaller than the logging interval.*", ".*treespec, LeafSpec.*"):
    warnings.filterwarnings("ignore", message=message)

PROFILERS = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}


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


def profiler(name: str | None, folder: Path) -> dict[str, Any]:
    """The Trainer's argument for a profiler by its name, which writes into the folder."""
    from lightning.pytorch import profilers

    if name is None:
        return {}
    if name not in PROFILERS:
        raise ValueError(f"trainer.profiler: expected one of {', '.join(PROFILERS)}; received {name}.")
    return {"profiler": getattr(profilers, PROFILERS[name])(dirpath=folder, filename="profile")}


def watching(callbacks: Sequence[Callback]) -> list[str]:
    """The names of the callbacks that have something to do at each batch."""
    hooks = ("on_train_batch_start", "on_train_batch_end")
    return [
        type(callback).__name__
        for callback in callbacks
        if any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)
    ]
