"""What lies inside a network that looks at images: its first filters, its maps, and where it attends to.

Each view gives rows of pictures by their label. Shapes of a row: (pictures, 1 or 3 channels, height, width).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isqrt, prod
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

COLUMNS = 8  # pictures in a row

Rows = Sequence[tuple[str, Tensor]]


class Unsuited(Exception):
    """A network that cannot be looked at in this way; the message says what it lacks."""


class View(Protocol):
    """One way to look inside; raises Unsuited for a network that it cannot show anything of.

    `title` tells what is shown, and `of_image` whether it depends on the image.
    """

    title: str
    of_image: bool

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        """Rows of pictures for one preprocessed image, whose shape is (1, channels, height, width)."""
        ...


class Filters:
    """The weights by which the first layer looks at the image, a picture for each of its outputs.

    Args:
        count: the largest number of them.
    """

    title, of_image = "Filters of the first layer", False

    def __init__(self, *, count: int = 32):
        self._count = count

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        for module, _ in _outputs(network, image, (nn.Conv2d, nn.Linear)):
            weights: Any = module.weight
            weight = weights.detach()[: self._count]
            if weight.ndim == 4:
                if weight.shape[-1] == weight.shape[-2] == 1:
                    raise Unsuited("the first convolution looks at single pixels")
                shown = weight if weight.shape[1] == 3 else weight.mean(dim=1, keepdim=True)
            elif weight.shape[1] == prod(image.shape[1:]):
                shown = weight.view(-1, *image.shape[1:])
                shown = shown if image.shape[1] in (1, 3) else shown.mean(dim=1, keepdim=True)
            else:
                break
            return [("", part) for part in shown.split(COLUMNS)]
        raise Unsuited("its first layer is neither a convolution nor fully connected to the pixels")


class Activations:
    """The maps that some convolutions make of an image, from the first one to the last: of each, those that differ most.

    Args:
        layers: the largest number of convolutions.
    """

    title, of_image = "Maps of the convolutions, those with the widest range", True

    def __init__(self, *, layers: int = 4):
        self._layers = layers

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        found = [output[0] for _, output in _with_maps(network, image, (nn.Conv2d,))]
        places = torch.linspace(0, len(found) - 1, min(self._layers, len(found))).round().int().tolist()
        rows = []
        for place in places:
            widest = found[place].flatten(1).std(dim=1).argsort(descending=True, stable=True)[:COLUMNS]
            rows.append((f"convolution\n{place + 1} of {len(found)}", found[place][widest.sort().values].unsqueeze(1)))
        return rows


class Attention:
    """Where the heads of attention look, of some layers: from the class token, or else on the mean from all places.

    Args:
        layers: the largest number of them.
    """

    title, of_image = "Attention of the heads", True

    def __init__(self, *, layers: int = 4):
        self._layers = layers

    def view(self, network: nn.Module, image: Tensor) -> Rows:
        maps = [on_image(weights[0], image) for weights in attention(network, image)]
        places = torch.linspace(0, len(maps) - 1, min(self._layers, len(maps))).round().int().tolist()
        return [(f"layer {place + 1} of {len(maps)}", maps[place][:COLUMNS]) for place in places]


def attention(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The weights of each layer's attention, (batch, heads, queries, keys), of torch's nn.MultiheadAttention.

    Raises:
        Unsuited: there is none.
    """
    return [weights.detach() for _, _, (_, weights) in _asked(network, images)[1]]


def attention_gradients(network: nn.Module, images: Tensor, answers: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The weights of each layer's attention, and the gradients of the answers by them: (batch, heads, queries, keys) both.

    torch gives the weights away and goes on with others; hence their gradients are computed from those of what the heads have
    fetched by them.

    Raises:
        Unsuited: there is none, or it attends to more than the places that it is given.
    """
    with torch.enable_grad():
        scores, layers = _asked(network, images.clone().requires_grad_())
        score = scores.gather(1, answers.unsqueeze(1)).sum()
        gradients = torch.autograd.grad(score, [output for _, _, (output, _) in layers], materialize_grads=True)
    with torch.no_grad():
        return [
            (layer[2][1].detach(), _by_weights(*layer, gradient)) for layer, gradient in zip(layers, gradients, strict=True)
        ]


def on_image(weights: Tensor, image: Tensor) -> Tensor:
    """Attention as pictures. Shapes: (maps, queries, keys) to (maps, 1, rows, columns)."""
    height, width = image.shape[2:]
    for tokens in (1, 0):  # with a class token before the places, or without
        places = weights.shape[2] - tokens
        side, rows = isqrt(places), isqrt(places * height // width)
        seen = weights[:, 0, 1:] if tokens else weights.mean(dim=1)
        if side and places == side * side:  # an oblong image may have been filled up to a square
            return seen.reshape(len(weights), 1, side, side)
        if rows and places == rows * (rows * width // height):
            return seen.reshape(len(weights), 1, rows, -1)
    raise Unsuited(f"its attention to {weights.shape[2]} places does not lie on a grid over the image")


def patch(network: nn.Module, images: Tensor) -> tuple[int, int] | None:
    """The sides of what the first convolution sees, where it cuts an image into patches."""
    for module, _ in _outputs(network, images[:1], (nn.Conv2d,)):
        conv: Any = module
        return tuple(conv.kernel_size) if conv.kernel_size == conv.stride else None
    return None


def last_with_maps(network: nn.Module, images: Tensor) -> nn.Module:
    """The last convolution of those with the coarsest maps, or the normalisation that follows it.

    A network that classifies pixels goes on from there to finer maps, of which the last are its answer.
    """
    found = _with_maps(network, images, (nn.Conv2d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm))
    coarsest = min(output[0, 0].numel() for _, output in found)
    return [module for module, output in found if output[0, 0].numel() == coarsest][-1]


def _with_maps(network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, Tensor]]:
    """Layers of these kinds that give maps of more than one place, and what they give."""
    found = [(module, output) for module, output in _outputs(network, images, kinds) if output.ndim == 4]
    found = [(module, output) for module, output in found if output[0, 0].numel() > 1]
    if not found:
        raise Unsuited("it has no convolution that gives maps")
    return found


def _outputs(network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, Tensor]]:
    """The layers of these kinds and what each gives, in the order in which they compute."""
    found: list[tuple[nn.Module, Tensor]] = []
    modules = [module for module in network.modules() if isinstance(module, kinds)]

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        found.append((module, output.detach().clone()))  # what follows may change it in place

    with _hooked([module.register_forward_hook(keep) for module in modules]), torch.no_grad():
        network(images)
    return found


def _asked(network: nn.Module, images: Tensor) -> tuple[Tensor, list[tuple[Any, Tensor, tuple[Tensor, Tensor]]]]:
    """What the network answers; of each attention itself, the values that it was given, and its outputs with the weights.

    It is asked for these by hooks, for they are not computed otherwise; the network stays as it is.
    """
    found: list[tuple[Any, Tensor, tuple[Tensor, Tensor]]] = []

    def ask(module: nn.Module, arguments: Any, keywords: dict[str, Any]) -> Any:
        return arguments, {**keywords, "need_weights": True, "average_attn_weights": False}

    def keep(module: nn.Module, arguments: Any, keywords: dict[str, Any], outputs: tuple[Tensor, Tensor]) -> None:
        found.append((module, arguments[2] if len(arguments) > 2 else keywords["value"], outputs))

    modules = [module for module in network.modules() if isinstance(module, nn.MultiheadAttention)]
    hooks = [module.register_forward_pre_hook(ask, with_kwargs=True) for module in modules]
    hooks += [module.register_forward_hook(keep, with_kwargs=True) for module in modules]
    with _hooked(hooks), torch.enable_grad():  # without gradients torch may take a path that passes the hooks by
        answer = network(images)
    if not found:
        raise Unsuited("it has no attention")
    return answer, found


def _by_weights(attention: Any, given: Tensor, outputs: tuple[Tensor, Tensor], gradient: Tensor) -> Tensor:
    """Gradients by the weights of an attention, from those by its output."""
    together = attention.in_proj_weight  # of queries, keys and values, where these are equally wide
    weight = attention.v_proj_weight if together is None else together.chunk(3)[2]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)[2]
    values, fetched = linear(given, weight, bias), gradient @ attention.out_proj.weight
    if not attention.batch_first:
        values, fetched = values.transpose(0, 1), fetched.transpose(0, 1)
    if values.shape[1] != outputs[1].shape[3]:
        raise Unsuited("its attention has keys besides the places")
    return _heads(fetched, attention.num_heads) @ _heads(values, attention.num_heads).transpose(2, 3)


def _heads(tokens: Tensor, count: int) -> Tensor:
    """(batch, tokens, width) to (batch, heads, tokens, width / heads)."""
    return tokens.unflatten(2, (count, -1)).transpose(1, 2)


@contextmanager
def _hooked(hooks: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
