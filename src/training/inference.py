"""A network that has its weights: predictions, generated examples, and its files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from src.data import columns
from src.data.base import Data
from src.data.loader import Batches
from src.data.order import Order
from src.decoding import Sampling, generate
from src.errors import InputError
from src.learner import Continues, Generates, HasNetwork
from src.runs import checkpoints
from src.tasks.base import Task
from src.tasks.continuing import Continuing
from src.tasks.generative import Generative, SamplesPrior
from src.training import packaging

EXAMPLES = 512  # of one forward pass, fewer where they are more than ...
FORWARD_BYTES = 2**20  # ... so many bytes: the activations of a network take hundreds of times as much


def _state(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name."""
    if path.suffix != ".safetensors":
        return checkpoints.read(path, exact=True).get("state_dict", {})
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: expected a whole file of safetensors; it is damaged: {error}. Run: dvc repro") from error


class NetworkInference(HasNetwork, Generates, Continues):
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
        """Loads the weights of this network, and of no other.

        Raises:
            InputError: the file is damaged, or holds the weights of another network.
        """
        state, own = _state(path), self.task.state_dict()
        lacking = sorted(own.keys() - state.keys())
        differing = [name for name in own if name in state and own[name].shape != state[name].shape]
        if lacking or differing or state.keys() - own.keys():
            name = (lacking or differing or sorted(state.keys() - own.keys()))[0]
            wanted, came = (f"of shape {list(one[name].shape)}" if name in one else "absent" for one in (own, state))
            raise InputError(
                f"{path}: expected the weights of the network that config.yaml beside it describes; received those of another: "
                f"{name} is {came}, and not {wanted}. Put the run's own file back, or delete {path.parent} and train it again."
            )
        self.task.load_state_dict(state)

    def export(self, folder: Path) -> Path:
        path = folder / "weights.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.task.state_dict().items()}, path)
        return path

    @torch.inference_mode()
    def predict(self, data: Data, rows: np.ndarray, *, fill: bool = True) -> Iterator[Mapping[str, np.ndarray]]:
        self._move_to_device()
        fields = {"input": data.fields["input"]}
        count = max(1, min(EXAMPLES, FORWARD_BYTES // max(1, columns.nbytes(fields, rows[:1]))), data.batch_size)
        filled, left = np.append(rows, rows[-1:].repeat(-len(rows) % count if fill else 0)), len(rows)
        for block in Batches(fields, filled, Order(len(filled), together=count), in_memory=0, block=8):
            for batch in block:
                outputs = self.task.predict(self.task.preprocess(batch.to(self.torch_device).input))
                yield {name: output[:left].cpu().numpy() for name, output in outputs.items()}
                left -= batch.size

    @torch.inference_mode()
    def generate(self, latents: np.ndarray, *, noise: bool = False) -> np.ndarray:
        self._move_to_device()
        task = self.task
        generate: Callable[[Tensor], Tensor]
        if noise and isinstance(task, SamplesPrior):
            generate = task.sample
        elif not noise and isinstance(task, Generative):
            generate = task.generate
        else:
            raise InputError(
                f"evaluation: expected a task that makes examples from latents; {type(task).__name__} does not. Choose the "
                "evaluation that belongs to it."
            )
        pieces = torch.from_numpy(latents).to(self.torch_device).split(EXAMPLES)
        return np.concatenate([generate(piece).cpu().numpy() for piece in pieces])

    @property
    def context(self) -> int | None:
        return self._continuing.context

    @torch.inference_mode()
    def continuation(self, prompt: Sequence[int], *, count: int, sampling: Sampling, cached: bool = True) -> Iterator[int]:
        task = self._continuing
        self._move_to_device()
        yield from generate(
            task.extend, prompt, count=count, context=task.context, sampling=sampling, device=self.torch_device, cached=cached
        )

    @property
    def _continuing(self) -> Continuing:
        if not isinstance(self.task, Continuing):
            raise InputError(
                f"expected a language model, which says how a text goes on; {type(self.task).__name__} does not. Choose a run "
                "of such a task."
            )
        return self.task

    def package(self, folder: Path, example: np.ndarray | Mapping[str, np.ndarray]) -> Mapping[str, str]:
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
