"""Views of the inside of a network that takes images: its first filters, its feature maps, and its attention.

Each view gives rows of maps by their label. Shapes of a row: (maps, 1 or 3 channels, height, width).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from src.evaluation.attention import UnsupportedNetwork, attention, on_image, removing
from src.value_types import Count

COLUMNS = 8  # maps in a row

Rows = Sequence[tuple[str, Tensor]]


class View(ABC):
    """One way to look inside a network.

    Attributes:
        title: of the figure.
        of_image: whether the view depends on the image.
    """

    title: str
    of_image: bool

    @abstractmethod
    def view(self, network: nn.Module, image: Tensor) -> Rows:
        """Rows of maps for one preprocessed image, whose shape is (1, channels, height, width).

        Raises:
            UnsupportedNetwork: the network has nothing of this kind.
        """


class Filters(View):
    """The weights of the first layer, one map for each of its outputs.

    Args:
        count: of the maps, at most.
    """

    title, of_image = "Filters of the first layer", False

    def __init__(self, *, count: Count = 32):
        self._count = count

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        for module, _ in _outputs(network, image, (nn.Conv2d, nn.Linear)):
            assert isinstance(module, nn.Conv2d | nn.Linear)
            weight = module.weight.detach()[: self._count]
            if weight.ndim == 4:
                if weight.shape[-1] == weight.shape[-2] == 1:
                    raise UnsupportedNetwork("its first convolution looks at single pixels")
                shown = weight if weight.shape[1] == 3 else weight.mean(dim=1, keepdim=True)
            elif weight.shape[1] == prod(image.shape[1:]):
                shown = weight.view(-1, *image.shape[1:])
                shown = shown if image.shape[1] in (1, 3) else shown.mean(dim=1, keepdim=True)
            else:
                break
            return [("", maps) for maps in shown.split(COLUMNS)]
        raise UnsupportedNetwork("its first layer is neither a convolution nor fully connected to the pixels")


class Activations(View):
    """Feature maps of some convolutions from the first to the last: of each, the maps with the widest range.

    Args:
        layers: convolutions, at most.
    """

    title, of_image = "Feature maps of convolutions, those with the widest range", True

    def __init__(self, *, layers: Count = 4):
        self._layers = layers

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        outputs = [output[0] for _, output in _with_maps(network, image, (nn.Conv2d,))]
        rows = []
        for number in _even(len(outputs), most=self._layers):
            widest = outputs[number].flatten(1).std(dim=1).argsort(descending=True, stable=True)[:COLUMNS]
            rows.append((f"convolution\n{number + 1} of {len(outputs)}", outputs[number][widest.sort().values].unsqueeze(1)))
        return rows


class Attention(View):
    """Attention of the heads of some layers: that of the class token, or else the mean over all places.

    Args:
        layers: of attention, at most.
    """

    title, of_image = "Attention of the heads", True

    def __init__(self, *, layers: Count = 4):
        self._layers = layers

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        maps = [on_image(weights[0], image) for weights in attention(network, image)]
        numbers = _even(len(maps), most=self._layers)
        return [(f"layer {number + 1} of {len(maps)}", maps[number][:COLUMNS]) for number in numbers]


def patch(network: nn.Module, images: Tensor) -> tuple[int, int] | None:
    """The sides of the patches that the first convolution cuts an image into; None where it cuts none."""
    for module, _ in _outputs(network, images[:1], (nn.Conv2d,)):
        assert isinstance(module, nn.Conv2d)
        height, width = module.kernel_size
        return (height, width) if module.kernel_size == module.stride else None
    return None


def last_with_maps(network: nn.Module, images: Tensor) -> nn.Module:
    """The last of the convolutions with the coarsest maps, or the normalisation that follows it.

    A network that classifies pixels continues from there to finer maps, the last of which are its answer.

    Raises:
        UnsupportedNetwork: it has no convolution that gives maps.
    """
    outputs = _with_maps(network, images, (nn.Conv2d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm))
    coarsest = min(output[0, 0].numel() for _, output in outputs)
    return [module for module, output in outputs if output[0, 0].numel() == coarsest][-1]


def _even(count: int, *, most: int) -> list[int]:
    """Numbers at even steps from the first to the last of so many."""
    return torch.linspace(0, count - 1, min(most, count)).round().int().tolist()


def _with_maps(network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, Tensor]]:
    """Layers of these kinds that give maps of more than one place, with their outputs."""
    outputs = [(module, output) for module, output in _outputs(network, images, kinds) if output.ndim == 4]
    outputs = [(module, output) for module, output in outputs if output[0, 0].numel() > 1]
    if not outputs:
        raise UnsupportedNetwork("it has no convolution that gives maps")
    return outputs


def _outputs(network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, Tensor]]:
    """The layers of these kinds with their outputs, in the order in which they compute."""
    outputs: list[tuple[nn.Module, Tensor]] = []
    modules = [module for module in network.modules() if isinstance(module, kinds)]

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs.append((module, output.detach().clone()))  # the next layer may change it in place

    with removing([module.register_forward_hook(keep) for module in modules]), torch.no_grad():
        network(images)
    return outputs
