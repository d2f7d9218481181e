"""The weights of attention in a network, and gradients by them. It must be torch's nn.MultiheadAttention."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.hooks import RemovableHandle


class UnsupportedNetwork(Exception):
    """A network that a method cannot explain. The message completes "skipped, because ..."."""


def attention(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The weights of each layer's attention, (batch, heads, queries, keys).

    Raises:
        UnsupportedNetwork: it has no attention.
    """
    return [layer.weights.detach() for layer in _forward(network, images)[1]]


def attention_gradients(network: nn.Module, images: Tensor, answers: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The weights of each layer's attention, and the gradients of the answers by them: (batch, heads, queries, keys) both.

    torch returns a copy of the weights, which the answer does not depend on. Hence their gradients are computed from the
    gradients of the attention's output.

    Args:
        answers: the number of the output to explain, for each image.

    Raises:
        UnsupportedNetwork: it has no attention, or attends to more than the places that it is given.
    """
    with torch.enable_grad():
        scores, layers = _forward(network, images.clone().requires_grad_())
        score = scores.gather(1, answers.unsqueeze(1)).sum()
        gradients = torch.autograd.grad(score, [layer.output for layer in layers], materialize_grads=True)
    with torch.no_grad():
        return [
            (layer.weights.detach(), _by_weights(layer, gradient)) for layer, gradient in zip(layers, gradients, strict=True)
        ]


def on_image(weights: Tensor, image: Tensor) -> Tensor:
    """Attention as maps over the image. Shapes: (maps, queries, keys) to (maps, 1, rows, columns).

    Where there is a class token it is the token's attention, otherwise the mean over all places.

    Raises:
        UnsupportedNetwork: the places do not lie on a grid.
    """
    height, width = image.shape[2:]
    for tokens in (1, 0):  # with a class token before the places, or without
        places = weights.shape[2] - tokens
        side, rows = isqrt(places), isqrt(places * height // width)
        maps = weights[:, 0, 1:] if tokens else weights.mean(dim=1)
        if side and places == side * side:  # an oblong image may have been filled up to a square
            return maps.reshape(len(weights), 1, side, side)
        if rows and places == rows * (rows * width // height):
            return maps.reshape(len(weights), 1, rows, -1)
    raise UnsupportedNetwork(f"its attention to {weights.shape[2]} places does not lie on a grid over the image")


@contextmanager
def removing(hooks: Sequence[RemovableHandle]) -> Iterator[None]:
    """Removes the hooks at the end of the block."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Layer(NamedTuple):
    """An attention that computed: its values, its output, and the weights."""

    module: nn.MultiheadAttention
    values: Tensor
    output: Tensor
    weights: Tensor


def _forward(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Layer]]:
    """The network's output, and its attention, layer by layer.

    Hooks ask for the weights, which are not computed otherwise. The network stays as it is.
    """
    layers: list[Layer] = []

    def ask(module: nn.Module, arguments: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return arguments, {**keywords, "need_weights": True, "average_attn_weights": False}

    def keep(module: nn.Module, arguments: Any, keywords: dict[str, Any], outputs: tuple[Tensor, Tensor]) -> None:
        assert isinstance(module, nn.MultiheadAttention)
        layers.append(Layer(module, arguments[2] if len(arguments) > 2 else keywords["value"], *outputs))

    modules = [module for module in network.modules() if isinstance(module, nn.MultiheadAttention)]
    hooks = [module.register_forward_pre_hook(ask, with_kwargs=True) for module in modules]
    hooks += [module.register_forward_hook(keep, with_kwargs=True) for module in modules]
    with removing(hooks), torch.enable_grad():  # without gradients torch may take a path that does not call the hooks
        output = network(images)
    if not layers:
        raise UnsupportedNetwork("it has no attention")
    return output, layers


def _by_weights(layer: Layer, gradient: Tensor) -> Tensor:
    """Gradients by the weights of an attention, from those by its output."""
    attention = layer.module
    joint = attention.in_proj_weight  # of queries, keys and values, where these are equally wide
    weight = attention.v_proj_weight if joint is None else joint.chunk(3)[2]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)[2]
    projected, by_heads = linear(layer.values, weight, bias), gradient @ attention.out_proj.weight
    if not attention.batch_first:
        projected, by_heads = projected.transpose(0, 1), by_heads.transpose(0, 1)
    if projected.shape[1] != layer.weights.shape[3]:
        raise UnsupportedNetwork("its attention has keys besides the places")
    return _heads(by_heads, attention.num_heads) @ _heads(projected, attention.num_heads).transpose(2, 3)


def _heads(tokens: Tensor, count: int) -> Tensor:
    """(batch, tokens, width) to (batch, heads, tokens, width / heads)."""
    return tokens.unflatten(2, (count, -1)).transpose(1, 2)
