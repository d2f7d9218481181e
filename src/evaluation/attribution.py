"""Which places of an image an answer comes from: attributions, most of them by captum, which is imported when one is asked for.

Each takes a network, preprocessed images and the number of the output to explain of each, and gives what the places of
the images add to it. Shapes: (batch, channels, height, width) to (batch, channels or 1, height, width). What is taken out
of an image becomes 0, the training part's mean: against black, integrated gradients would mostly draw the image again.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from src.evaluation.layers import Unsuited, attention, attention_gradients, last_with_maps, on_image, patch


class Attribution(Protocol):
    """One way to explain an answer; raises Unsuited for a network that it cannot explain."""

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor: ...


class Saliency:
    """The size of the answer's gradient (Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034)."""

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        from captum.attr import Saliency

        return Saliency(network).attribute(images.clone().requires_grad_(), target=answers)


class IntegratedGradients:
    """The gradient along the way from the mean to the image, times that way (Sundararajan et al. 2017, arXiv:1703.01365).

    The attributions of an image add up to how much its answer exceeds that of the mean.
    """

    def __init__(self, *, steps: int = 32):
        if steps < 2:
            raise ValueError(f"expected at least 2 steps; received {steps}.")
        self._steps = steps

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        from captum.attr import IntegratedGradients

        size = max(len(images), self._steps)  # images in one pass
        method = IntegratedGradients(network)
        return method.attribute(images, target=answers, n_steps=self._steps, internal_batch_size=size)


class GradCam:
    """The maps of a late convolution, weighted by their mean gradients (Selvaraju et al. 2017, arXiv:1610.02391).

    It is the last of those with the coarsest maps. Where a normalisation follows it, they are taken behind that: before it
    they have any offset, which would mostly leave nothing. What speaks against the answer is left out, and the coarse map is
    scaled up to the image.
    """

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        from captum.attr import LayerAttribution, LayerGradCam

        layer = last_with_maps(network, images[:1])
        maps = LayerGradCam(network, layer).attribute(images, target=answers, relu_attributions=True)
        return LayerAttribution.interpolate(maps, tuple(images.shape[2:]), interpolate_mode="bilinear")


class Occlusion:
    """How much of the answer is lost while a window of the image is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

    Args:
        window: its sides, as a share of those of the image; it moves by half of them.
    """

    def __init__(self, *, window: float = 0.25):
        if not 0 < window <= 1:
            raise ValueError(f"expected a window above 0 and up to 1; received {window}.")
        self._window = window

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        from captum.attr import Occlusion

        channels, *sides = images.shape[1:]
        window = [max(1, round(self._window * side)) for side in sides]
        return Occlusion(network).attribute(
            images,
            target=answers,
            sliding_window_shapes=(channels, *window),
            strides=(channels, *(max(1, side // 2) for side in window)),
            perturbations_per_eval=8,
        )


class AttentionRelevance:
    """How much of each patch speaks for the answer through all layers of attention (Chefer et al. 2021, arXiv:2103.15679).

    A layer adds to what stands at a place what its heads fetch, each by its attention times the answer's gradient by it, and
    what speaks against the answer is left out; the layers are multiplied.
    """

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        layers = [(weights.float(), gradients.float()) for weights, gradients in attention_gradients(network, images, answers)]
        share = _each_itself([weights for weights, _ in layers])
        for weights, gradients in layers:
            share = share + (weights * gradients).relu().mean(dim=1) @ share
        return _on_patches(share, network, images)


class AttentionRollout:
    """How much of each patch reaches the answer through all layers of attention (Abnar and Zuidema 2020, arXiv:2005.00928).

    A layer passes on half of what stands at a place and half of what its heads fetch, on their mean; the layers' shares are
    multiplied. It sees the way of the answer, not which answer it is: the map of an image is the same for all, and not very
    different with random weights.
    """

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        layers = attention(network, images)
        share = own = _each_itself(layers)
        for weights in layers:
            share = (weights.float().mean(dim=1) + own) / 2 @ share
        return _on_patches(share, network, images)


def _each_itself(layers: Sequence[Tensor]) -> Tensor:
    """What the places have of each other before any attention.

    Raises:
        Unsuited: not every layer's attention goes from the same places to the same ones.
    """
    sizes = {size for weights in layers for size in weights.shape[2:]}
    if len(sizes) > 1:
        raise Unsuited("its attention does not go from the same places to the same ones in every layer")
    return torch.eye(*sizes, device=layers[0].device)


def _on_patches(share: Tensor, network: nn.Module, images: Tensor) -> Tensor:
    """What the places have in the answer, on the pixels of their patches."""
    maps = on_image(share, images)
    shared = [-(-size // count) for size, count in zip(images.shape[2:], maps.shape[2:], strict=True)]
    sides = patch(network, images) or (max(shared), max(shared))
    patches = interpolate(maps, scale_factor=tuple(map(float, sides)), mode="nearest")
    return patches[..., : images.shape[2], : images.shape[3]]  # without what the image was filled up by
