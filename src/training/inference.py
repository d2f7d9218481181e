"""A network that has its weights: predictions, generated examples, and its files."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from src.data.base import Data
from src.data.loader import Batches, nbytes
from src.learner import Learner
from src.runs import checkpoints
from src.tasks.base import Task
from src.training import packaging

EXAMPLES = 512  # of one forward pass, fewer where they are more than ...
FORWARD_BYTES = 2**20  # ... so many bytes: the activations of a network take hundreds of times as much


class NetworkInference(Learner):
    """A task that predicts and generates on an accelerator.

    Args:
        accelerator: in Lightning's terms: auto, gpu, cpu.
    """

    def __init__(self, task: Task, *, accelerator: str):
        self.task = task
        gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        self.torch_device = torch.device("cuda" if gpu else "cpu")
        self._use_channels_last()

    @property
    def network(self) -> nn.Module:
        return self.task.model

    @property
    def scoring_network(self) -> nn.Module:
        return self.task.scoring

    @property
    def loss_decreases(self) -> bool:
        return self.task.loss_decreases

    @property
    def device(self) -> str:
        return torch.cuda.get_device_name() if self.torch_device.type == "cuda" else self.torch_device.type

    def preprocess(self, inputs: np.ndarray) -> Tensor:
        device = next(self.task.parameters()).device
        return self.task.preprocess(torch.from_numpy(inputs).to(device))

    def load(self, path: Path) -> None:
        state = load_file(path) if path.suffix == ".safetensors" else checkpoints.read(path, exact=True)["state_dict"]
        self.task.load_state_dict(state)

    def export(self, folder: Path) -> Path:
        path = folder / "weights.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.task.state_dict().items()}, path)
        return path

    @torch.inference_mode()
    def predict(self, data: Data, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        self._move_to_device()
        count = max(1, min(EXAMPLES, FORWARD_BYTES // nbytes(data.arrays, rows[:1])))
        for block in Batches(data.arrays, rows, batch_size=max(count, data.batch_size), in_memory=0, block=8):
            for batch in block:
                outputs = self.task.predict(self.task.preprocess(batch.input.to(self.torch_device)))
                yield {name: output.cpu().numpy() for name, output in outputs.items()}

    @torch.inference_mode()
    def generate(self, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
        self._move_to_device()
        generate = self.task.sample if noise else self.task.generate
        pieces = torch.from_numpy(latents).to(self.torch_device).split(EXAMPLES)
        return np.concatenate([generate(piece).cpu().numpy() for piece in pieces])

    def package(self, folder: Path, example: np.ndarray) -> Mapping[str, str]:
        files = packaging.package(self.task.cpu(), folder, example)
        self._use_channels_last()
        return files

    def _move_to_device(self) -> None:
        """Moves the task. Its weights stay ordinary ones, for which an explanation computes gradients."""
        with torch.inference_mode(False):  # weights that are moved within inference mode can have no gradients afterwards
            self.task.to(self.torch_device).eval()

    def _use_channels_last(self) -> None:
        """Lays out the weights of convolutions as GPUs and fast CPUs compute with them."""
        if any(isinstance(module, nn.Conv2d) for module in self.task.model.modules()):
            self.task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
