"""A library's image classifier, fitted to the images that it gets."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.googlenet import InceptionAux

from src.layers.pooling import AveragePooling
from src.protocols import Heads

LARGEST = 1024  # pixels up to which a size is looked for that a network can take


class Adapted(nn.Module):
    """A classifier such as torchvision's, with the first convolution that the images ask for, and deterministic pooling.

    Shapes: (batch, channels, height, width) to (batch, num_outputs); in training, with auxiliary heads, to `Heads`.

    Args:
        network: for images of three channels; its first convolution is replaced where there are others.
        small_images: the first convolution is one of 3x3 pixels and stride 1, and the first max-pooling is left out, as in
            the networks for CIFAR (He et al. 2016, arXiv:1512.03385, section 4.2), which shrink their images later.
        auxiliary: the share of the loss of each auxiliary head.
    """

    def __init__(self, network: nn.Module, *, input_shape: Sequence[int], small_images: bool = False, auxiliary: float = 0.0):
        super().__init__()
        self.network = network
        self._auxiliary = auxiliary
        channels, height, width = input_shape
        first, convolution = _first(network, nn.Conv2d)
        if small_images:
            network.set_submodule(first, _convolution(channels, convolution, kernel_size=3, stride=1, padding=1))
            network.set_submodule(_first(network, nn.MaxPool2d)[0], nn.Identity())
        elif channels != convolution.in_channels:
            network.set_submodule(first, _convolution(channels, convolution))
        _make_deterministic(network)
        if not self._takes(channels, height, width):
            raise ValueError(self._too_small(channels, height, width, small_images))

    def forward(self, x: Tensor) -> Tensor | Heads:
        made = self.network(x)
        if isinstance(made, Tensor):
            return made
        logits, *others = made
        return Heads(logits, tuple((other, self._auxiliary) for other in others)) if self._auxiliary else logits

    def _takes(self, channels: int, height: int, width: int) -> bool:
        """Whether the network can be trained on such images; only shapes are computed."""
        state = chain(self.network.named_parameters(), self.network.named_buffers())
        shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in state}
        try:
            functional_call(self.network, shapes, torch.empty(2, channels, height, width, device="meta"))
        except (RuntimeError, ValueError):
            return False
        return True

    def _answers(self, channels: int, height: int, width: int) -> bool:
        """Whether it takes such images without its auxiliary heads, which are of the training alone."""
        self.network.eval()
        try:
            return self._takes(channels, height, width)
        finally:
            self.network.train()

    def _too_small(self, channels: int, height: int, width: int, small_images: bool) -> str:
        smallest = bisect_left(range(LARGEST), True, lo=1, key=lambda size: self._takes(channels, size, size))
        remedies = [f"larger images (data.size={smallest} where they are your own)", "model=resnet_small"]
        if not small_images:
            remedies.insert(1, "model.small_images=true")
        if getattr(self.network, "aux_logits", False) and self._answers(channels, height, width):
            remedies.insert(1, "model.network.aux_logits=false")
        return (
            f"{type(self.network).__name__}: expected images of at least {smallest}x{smallest} pixels; received "
            f"{height}x{width}. Choose {', '.join(remedies[:-1])} or {remedies[-1]}."
        )


def _first(network: nn.Module, kind: type[nn.Module]) -> tuple[str, Any]:
    found = [(name, module) for name, module in network.named_modules() if isinstance(module, kind)]
    if not found:
        raise ValueError(f"expected a network with a {kind.__name__}; {type(network).__name__} has none.")
    return found[0]


def _make_deterministic(network: nn.Module) -> None:
    """Replaces poolings whose backward pass is not deterministic on CUDA; the names of the weights stay what they are."""
    for name, module in [*network.named_modules()]:
        if isinstance(module, nn.AdaptiveAvgPool2d):
            network.set_submodule(name, AveragePooling(module.output_size))  # type: ignore[arg-type]
        elif isinstance(module, InceptionAux):  # it pools by a function: its parts, in the order of its own forward pass
            parts: dict[str, nn.Module] = {"pooling": AveragePooling((4, 4)), "conv": module.conv, "flatten": nn.Flatten()}
            parts |= {"fc1": module.fc1, "relu": nn.ReLU(inplace=True), "dropout": module.dropout, "fc2": module.fc2}
            network.set_submodule(name, nn.Sequential(OrderedDict(parts)))


def _convolution(channels: int, like: nn.Conv2d, **other: int) -> nn.Conv2d:
    """A convolution with the outputs of another one, and weights that keep the size of what flows (He et al. 2015)."""
    same = {key: getattr(like, key) for key in ("kernel_size", "stride", "padding")}
    made = nn.Conv2d(channels, like.out_channels, bias=like.bias is not None, **{**same, **other})
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    return made
