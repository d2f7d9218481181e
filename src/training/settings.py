"""The settings of a training, in groups. In the configuration they stand side by side in the `trainer` node."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, Trainer, profilers
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import Strategy

from src.distributed import processes
from src.errors import check_counts
from src.runs import checkpoints

# Arguments of Lightning's Trainer that this platform does not pass on, and the reason.
_LIMITS = "trainer.limit_batches limits every split"
_VALIDATIONS = "each epoch ends with a validation, which schedules, checkpoints and early stopping need"
_OURS = "the run's own are used"
NOT_PASSED_ON = {
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"), _LIMITS),
    **dict.fromkeys(("check_val_every_n_epoch", "val_check_interval", "num_sanity_val_steps"), _VALIDATIONS),
    **dict.fromkeys(("logger", "callbacks", "plugins", "default_root_dir", "enable_checkpointing"), _OURS),
    **dict.fromkeys(("enable_model_summary", "use_distributed_sampler"), "it would do nothing here"),
    "gradient_clip_algorithm": "gradients are clipped by their norm",
    "fast_dev_run": "+debug=fdr does it",
    "enable_progress_bar": "trainer.progress_bar does it",
}
PROFILERS = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")

Group = TypeVar("Group")


def take(kind: type[Group], settings: dict[str, Any], **more: Any) -> Group:
    """A group of settings. Its fields are taken out of the settings by their names.

    Args:
        more: fields that are no settings.
    """
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: settings.pop(name) for name in names if name in settings}, **more)


@dataclass(frozen=True)
class CheckpointInterval:
    """How old last.ckpt may become within an epoch. It is also written at the end of each epoch.

    Args:
        save_every_n_minutes: of the training.
        save_every_n_steps: of the optimizer; None for no such limit.
    """

    save_every_n_minutes: float = 10.0
    save_every_n_steps: int | None = None

    def __post_init__(self) -> None:
        check_counts(optional=True, save_every_n_steps=self.save_every_n_steps)


@dataclass(frozen=True)
class TrainerSettings:
    """How long Lightning's Trainer fits, and on what.

    Args:
        max_epochs, max_steps: the length of the training, of which the shorter one counts; None and -1 for no limit.
        devices, num_nodes: processes on a node, and nodes; each process computes on a device of its own.
        oversubscribe: whether several processes may share a processor, which `processes.check_processors` refuses otherwise.
        strategy: makes Lightning's strategy for several processes; None for Lightning's choice.
        compile: the mode of torch.compile for the network while it is fitted; None for eager.
        profiler: simple, advanced or pytorch; its profile is written into the run folder.
        progress_bar: None for one where there is a terminal.
        arguments: further arguments of Lightning's Trainer.
    """

    max_epochs: int | None
    max_steps: int = -1
    devices: int = 1
    num_nodes: int = 1
    oversubscribe: bool = False
    strategy: Callable[[], Strategy] | None = None
    compile: str | None = None
    profiler: str | None = None
    progress_bar: bool | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.compile not in (None, *COMPILE_MODES):
            raise ValueError(f"trainer.compile: expected null or one of {', '.join(COMPILE_MODES)}; received {self.compile}.")
        if self.profiler not in (None, *PROFILERS):
            raise ValueError(f"trainer.profiler: expected one of {', '.join(PROFILERS)}; received {self.profiler}.")
        if not self.max_epochs and self.max_steps < 0:
            raise ValueError(f"trainer: expected max_epochs or max_steps; received {self.max_epochs} and {self.max_steps}.")
        known = inspect.signature(Trainer).parameters
        for name, value in self.arguments.items():
            if name not in known:
                raise ValueError(f"trainer.{name}: expected an argument of Lightning's Trainer; it has none of this name.")
            # Without validations, for a search that keeps no weights and waits for no epoch's end.
            if name in NOT_PASSED_ON and (name, value) != ("limit_val_batches", 0):
                raise ValueError(f"trainer.{name}: expected none, because {NOT_PASSED_ON[name]}. Leave it out.")
        processes.wanted(self.devices, self.num_nodes)

    @property
    def processes(self) -> int:
        """Processes on all nodes together."""
        return self.devices * self.num_nodes

    @property
    def accelerator(self) -> str:
        """In Lightning's terms: auto, gpu, cpu."""
        return self.arguments.get("accelerator", "auto")

    @property
    def validates(self) -> bool:
        """Whether epochs end with a validation."""
        return self.arguments.get("limit_val_batches") != 0

    def steps(self, epoch: int) -> int:
        """Optimizer steps of the whole training; 0 where only the data could tell.

        Args:
            epoch: optimizer steps of one epoch.
        """
        steps = epoch * max(self.max_epochs or -1, 0)
        return steps if self.max_steps < 0 else min(steps or self.max_steps, self.max_steps)

    def trainer(self, folder: Path, *, callbacks: list[Callback], logger: Logger) -> Trainer:
        """Lightning's Trainer without the parts that this platform does itself, for processes that run already.

        Args:
            folder: of the run.
        """
        arguments: dict[str, Any] = {"deterministic": True, **self.arguments}
        if self.profiler is not None:
            arguments["profiler"] = getattr(profilers, PROFILERS[self.profiler])(dirpath=folder, filename="profile")
        if self.processes > 1:
            arguments["strategy"] = self.strategy() if self.strategy else "ddp"
        # Lightning takes the job of a cluster in which the command was typed for the training's processes, and it warns of
        # every training there that srun has not started.
        own = not torch.distributed.is_torchelastic_launched()
        return Trainer(
            **arguments,
            max_epochs=self.max_epochs or -1,
            max_steps=self.max_steps,
            devices=self.devices,
            num_nodes=self.num_nodes,
            callbacks=callbacks,
            logger=logger,
            plugins=[checkpoints.AtomicIO(), *([LightningEnvironment()] if own else [])],
            use_distributed_sampler=False,
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
