"""A network as a learner: the task, and the Lightning Trainer that fits it."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from src import checkpoints
from src.callbacks.logging import Handing
from src.callbacks.progress import Progress
from src.callbacks.saving import Saving
from src.data.loader import Batches
from src.data.transforms import Normalise
from src.errors import InputError
from src.protocols import Fit
from src.runs import write_atomic

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)  # tips, and a line for each device that is not there
# Lightning recommends loader workers, which a batch by one index does not need, counts blocks as steps, and walks
# through containers by a function that torch has renamed.
for message in (".*does not have many workers.*", ".*smaller than the logging interval.*", ".*treespec, LeafSpec.*"):
    warnings.filterwarnings("ignore", message=message)


class Network:
    """A task under a Trainer.

    Args:
        model: builds the network; its weights depend on the seed alone.
        task: builds the task around a model.
        callbacks: builds further Lightning callbacks.
        objective: metric and mode by which best.ckpt is chosen.
        steps_per_call: optimizer steps in one call of Lightning's loop.
        limit_batches: at most so many batches of each part.
        overfit_batches: trains and validates on so many batches alone.
        arguments: of Lightning's Trainer, passed on.
    """

    flavour = "pytorch"

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        task: Callable[..., Any],
        callbacks: Callable[[], list[Callback]],
        data: Any,
        objective: Mapping[str, str],
        seed: int,
        max_epochs: int | None,
        max_steps: int = -1,
        gradient_clip_val: float | None = None,
        accumulate_grad_batches: int = 1,
        steps_per_call: int = 16,
        log_every_n_steps: int = 20,
        save_every_n_minutes: float = 10.0,
        limit_batches: int | None = None,
        overfit_batches: int = 0,
        progress_bar: bool | None = None,
        **arguments: Any,
    ):
        if not max_epochs and max_steps < 0:
            raise ValueError(f"trainer: expected max_epochs or max_steps; received {max_epochs} and {max_steps}.")
        seed_everything(seed, workers=True, verbose=False)
        self.task = task(
            model=model(),
            preprocess=Normalise(mean=data.mean, std=data.std),
            objective=objective["metric"],
            gradient_clip_val=gradient_clip_val,
            accumulate_grad_batches=accumulate_grad_batches,
            log_every_n_steps=log_every_n_steps,
        )
        if any(isinstance(module, nn.Conv2d) for module in self.task.model.modules()):
            self.task.model.to(memory_format=torch.channels_last)  # what convolutions compute in on GPUs, and fast on CPUs
        self.parameters = sum(parameter.numel() for parameter in self.task.parameters())
        self._objective = objective
        self._seed = seed
        self._callbacks = callbacks
        self._ends = {"max_epochs": max_epochs or -1, "max_steps": max_steps}
        self._accumulate = accumulate_grad_batches
        self._block = -(-steps_per_call // accumulate_grad_batches) * accumulate_grad_batches
        self._minutes = save_every_n_minutes
        self._limit, self._overfit = limit_batches, overfit_batches
        self._bar = sys.stderr.isatty() if progress_bar is None else progress_bar
        self._arguments = arguments

    def fit(
        self,
        data: Any,
        *,
        folder: Path,
        log: Callable[[Mapping[str, Any], int, int], None],
        flush: Callable[[], None],
        resume: Path | None = None,
    ) -> Fit:
        seed_everything(self._seed, workers=True, verbose=False)
        self.task.train()
        train = self._batches(data, "train", shuffle=not self._overfit)
        val = self._batches(data, "train" if self._overfit else "val")
        steps = -(-train.batches // self._accumulate) * max(self._ends["max_epochs"], 0)
        if self._ends["max_steps"] >= 0:
            steps = min(steps or self._ends["max_steps"], self._ends["max_steps"])
        self.task.total_steps = steps
        saving = Saving(
            folder=folder, metric=self._objective["metric"], mode=self._objective["mode"], minutes=self._minutes, flush=flush
        )
        arguments: dict[str, Any] = {"deterministic": True, **self._ends, **self._profiler(folder), **self._arguments}
        trainer = Trainer(
            **arguments,
            callbacks=[saving, *([Progress(steps)] if self._bar else []), *self._callbacks()],
            logger=Handing(log, lambda: self.task.current_epoch + 1),
            plugins=[checkpoints.AtomicIO()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        last = folder / "last.ckpt"
        start = last if checkpoints.exists(last) else resume
        if start is not None and start is resume and (best := resume.with_name("best.ckpt")).is_file():
            write_atomic(folder / best.name, best.read_bytes())  # it stays the best until a later epoch is better
        _fit(trainer, self.task, train, val, ckpt_path=start, weights_only=True)
        epochs = trainer.current_epoch
        self.load(folder / "best.ckpt")
        return Fit(epochs=epochs, best_epoch=saving.best_epoch, steps=trainer.global_step, seconds=saving.elapsed)

    def load(self, path: Path) -> None:
        state = load_file(path) if path.suffix == ".safetensors" else checkpoints.read(path)["state_dict"]
        self.task.load_state_dict(state)

    def export(self, folder: Path) -> Path:
        path = folder / "weights.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.task.state_dict().items()}, path)
        return path

    @property
    def device(self) -> str:
        return torch.cuda.get_device_name() if self._device().type == "cuda" else self._device().type

    @torch.inference_mode()
    def predict(self, data: Any, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        device = self._device()
        self.task.to(device).eval()
        for (batch,) in Batches(data.arrays, rows, batch_size=max(256, data.batch_size)):
            outputs = self.task.predict(self.task.preprocess(batch.input.to(device)))
            yield {name: output.cpu().numpy() for name, output in outputs.items()}

    def package(self, folder: Path, example: np.ndarray) -> Mapping[str, Any]:
        answer = Answer(self.task.cpu()).eval()
        batch = torch.export.Dim.AUTO
        program = torch.export.export(answer, (torch.from_numpy(example),), dynamic_shapes=[{0: batch}])
        folder.mkdir(parents=True, exist_ok=True)
        torch.export.save(program, folder / "model.pt2")
        np.save(folder / "example.npy", example)
        return {"flavour": self.flavour, "file": "model.pt2", "example": "example.npy"}

    def flops(self, data: Any) -> int | None:
        from torch.utils.flop_counter import FlopCounterMode  # only once a run

        self.task.cpu().eval()
        (batch,) = next(iter(Batches(data.arrays, data.rows("train"), batch_size=32)))
        batch = batch._replace(input=self.task.preprocess(batch.input))
        try:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                self.task.predict(batch.input[:1])
            with torch.no_grad():
                self.task.step(batch)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise InputError(
                f"expected a model for examples of shape {list(batch.input.shape[1:])} and the targets of "
                f"{data.prepared.card['name']}; {type(self.task.model).__name__} fails on them: {error}. "
                "Leave its sizes to the data (model.input_shape, model.num_outputs), or choose another model."
            ) from error
        return counter.get_total_flops()

    def _device(self) -> torch.device:
        wanted = self._arguments.get("accelerator", "auto")
        return torch.device("cuda" if wanted in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu")

    def _batches(self, data: Any, part: str, *, shuffle: bool = False) -> Batches:
        return Batches(
            data.arrays,
            data.rows(part),
            batch_size=data.batch_size,
            block=self._block,
            shuffle=shuffle,
            seed=self._seed,
            limit=self._overfit or self._limit,
        )

    def _profiler(self, folder: Path) -> dict[str, Any]:
        """The profiler by its name, writing into the run folder."""
        from lightning.pytorch import profilers

        kinds = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}
        name = self._arguments.pop("profiler", None)
        if name is None:
            return {}
        if name not in kinds:
            raise ValueError(f"trainer.profiler: expected one of {', '.join(kinds)}; received {name}.")
        return {"profiler": getattr(profilers, kinds[name])(dirpath=folder, filename="profile")}


def _fit(trainer: Trainer, *arguments: Any, **keywords: Any) -> None:
    """Lightning's fit, after which an interrupt is an interrupt still, and the next one is heard."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(*arguments, **keywords)
    except SystemExit as ended:  # what Lightning makes of an interrupt
        if not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise ended.__context__ from None


class Answer(nn.Module):
    """From examples as they are stored, as float32, to the one output that the task names as its answer."""

    def __init__(self, task: Any):
        super().__init__()
        self.preprocess, self.model, self._task = task.preprocess, task.model, [task]

    def forward(self, examples: Tensor) -> Tensor:
        task = self._task[0]
        return task.predict(self.preprocess(examples))[task.answer]
