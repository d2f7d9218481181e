"""An image classifier of a library, adapted to the images of a data set."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode
from torchvision.models.googlenet import InceptionAux

from src.layers.pooling import AveragePooling
from src.protocols import Heads
from src.value_types import Count, NonNegative

LARGEST = 1024  # pixels; no larger images are tried for the smallest size that a network accepts

Layer = TypeVar("Layer", bound=nn.Module)


class AdaptedClassifier(nn.Module):
    """A classifier such as torchvision's, with a first convolution for the images, and deterministic pooling.

    Shapes: (batch, channels, height, width) to (batch, num_outputs); in training, with auxiliary heads, to `Heads`.

    Args:
        network: for images of three channels. For other numbers of channels its first convolution is replaced.
        small_images: replaces the first convolution by one of 3x3 pixels with stride 1, and leaves out the first
            max-pooling. Networks for CIFAR start the same way (He et al. 2016, arXiv:1512.03385, section 4.2).
        auxiliary: the weight of the loss of each auxiliary head.
    """

    def __init__(
        self, network: nn.Module, *, input_shape: Sequence[Count], small_images: bool = False, auxiliary: NonNegative = 0.0
    ):
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
        if not self._accepts(channels, height, width):
            raise ValueError(self._too_small(channels, height, width, small_images))

    def forward(self, x: Tensor) -> Tensor | Heads:
        output = self.network(x)
        if isinstance(output, Tensor):
            return output
        logits, *others = output
        return Heads(logits, tuple((other, self._auxiliary) for other in others)) if self._auxiliary else logits

    def _accepts(self, channels: int, height: int, width: int) -> bool:
        """Whether the network can be trained on images of this size. Only shapes are computed."""
        state = chain(self.network.named_parameters(), self.network.named_buffers())
        shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in state}
        try:
            with _WithoutBatchNorms():
                functional_call(self.network, shapes, torch.empty(2, channels, height, width, device="meta"))
        except (RuntimeError, ValueError):
            return False
        return True

    def _accepts_without_heads(self, channels: int, height: int, width: int) -> bool:
        """Whether the network accepts images of this size without its auxiliary heads, which only training uses."""
        self.network.eval()
        try:
            return self._accepts(channels, height, width)
        finally:
            self.network.train()

    def _too_small(self, channels: int, height: int, width: int, small_images: bool) -> str:
        smallest = bisect_left(range(LARGEST), True, lo=1, key=lambda size: self._accepts(channels, size, size))
        remedies = [f"larger images (data.size={smallest} for your own)", "model=resnet_small"]
        if not small_images:
            remedies.insert(1, "model.small_images=true")
        if getattr(self.network, "aux_logits", False) and self._accepts_without_heads(channels, height, width):
            remedies.insert(1, "model.network.aux_logits=false")
        return (
            f"{type(self.network).__name__}: expected images of at least {smallest}x{smallest} pixels; received "
            f"{height}x{width}. Choose {', '.join(remedies[:-1])} or {remedies[-1]}."
        )


class _WithoutBatchNorms(TorchFunctionMode):
    """Batch normalisation changes no shape, and takes most of the time where torch computes nothing but shapes."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return args[0] if func is batch_norm else func(*args, **(kwargs or {}))


def _first(network: nn.Module, kind: type[Layer]) -> tuple[str, Layer]:
    """The name of the first layer of a kind, and the layer."""
    for name, module in network.named_modules():
        if isinstance(module, kind):
            return name, module
    raise ValueError(f"expected a network with a {kind.__name__}; {type(network).__name__} has none. Choose another one.")


def _make_deterministic(network: nn.Module) -> None:
    """Replaces poolings whose backward pass is not deterministic on CUDA. The names of the weights do not change."""
    for name, module in [*network.named_modules()]:
        if isinstance(module, nn.AdaptiveAvgPool2d):
            network.set_submodule(name, AveragePooling(module.output_size))  # type: ignore[arg-type]
        elif isinstance(module, InceptionAux):  # it pools by a function: its layers, in the order of its forward pass
            layers: dict[str, nn.Module] = {"pooling": AveragePooling((4, 4)), "conv": module.conv, "flatten": nn.Flatten()}
            layers |= {"fc1": module.fc1, "relu": nn.ReLU(inplace=True), "dropout": module.dropout, "fc2": module.fc2}
            network.set_submodule(name, nn.Sequential(OrderedDict(layers)))


def _convolution(channels: int, like: nn.Conv2d, **changes: int) -> nn.Conv2d:
    """A convolution with the outputs of another one and weights that keep the variance (He et al. 2015, arXiv:1502.01852)."""
    settings = {key: getattr(like, key) for key in ("kernel_size", "stride", "padding")}
    convolution = nn.Conv2d(channels, like.out_channels, bias=like.bias is not None, **{**settings, **changes})
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution
