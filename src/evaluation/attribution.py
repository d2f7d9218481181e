"""Attributions: how much each pixel of an image adds to an answer. Most are captum's, which is imported when one is used.

What is taken out of an image becomes 0, the mean of the training split. With black instead, integrated gradients would mostly
draw the image again.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from src.evaluation.attention import UnsupportedNetwork, attention, attention_gradients, on_image
from src.evaluation.layers import last_with_maps, patch


class Attribution(ABC):
    """One way to explain an answer."""

    @abstractmethod
    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        """Maps over the images, (batch, channels or 1, height, width).

        Args:
            images: preprocessed, (batch, channels, height, width).
            answers: the number of the output to explain, for each image.

        Raises:
            UnsupportedNetwork: this attribution cannot explain the network.
        """


class Saliency(Attribution):
    """The absolute value of the answer's gradient (Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034)."""

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        from captum.attr import Saliency

        return Saliency(network).attribute(images.clone().requires_grad_(), target=answers)


class IntegratedGradients(Attribution):
    """The mean gradient on the way from the mean to the image, times that way (Sundararajan et al. 2017, arXiv:1703.01365).

    The attributions of an image add up to the difference between its answer and that of the mean.
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


class GradCam(Attribution):
    """The maps of a late convolution, weighted by their mean gradients (Selvaraju et al. 2017, arXiv:1610.02391).

    It is the last of the convolutions with the coarsest maps. Where a normalisation follows, the maps are taken behind it:
    before it they have an arbitrary offset. Only what speaks for the answer is kept, and the coarse map is scaled up to the
    image.
    """

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        from captum.attr import LayerAttribution, LayerGradCam

        layer = last_with_maps(network, images[:1])
        maps = LayerGradCam(network, layer).attribute(images, target=answers, relu_attributions=True)
        return LayerAttribution.interpolate(maps, tuple(images.shape[2:]), interpolate_mode="bilinear")


class Occlusion(Attribution):
    """How much the answer loses while a window of the image is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

    Args:
        window: its sides, as a share of the image's sides. It moves by half of its sides.
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


class AttentionRelevance(Attribution):
    """How much each patch speaks for the answer, through all layers of attention (Chefer et al. 2021, arXiv:2103.15679).

    A layer adds to each place what its heads fetch: the positive part of the attention times the answer's gradient by it. The
    layers are multiplied.
    """

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        layers = [(weights.float(), gradients.float()) for weights, gradients in attention_gradients(network, images, answers)]
        share = _identity([weights for weights, _ in layers])
        for weights, gradients in layers:
            share = share + (weights * gradients).relu().mean(dim=1) @ share
        return _on_patches(share, network, images)


class AttentionRollout(Attribution):
    """How much of each patch reaches the answer, through all layers of attention (Abnar and Zuidema 2020, arXiv:2005.00928).

    A layer passes on half of each place and half of what its heads fetch on average. The layers are multiplied. The map of an
    image is the same for every answer, and with random weights it is not very different.
    """

    def attribute(self, network: nn.Module, images: Tensor, answers: Tensor) -> Tensor:
        layers = attention(network, images)
        share = own = _identity(layers)
        for weights in layers:
            share = (weights.float().mean(dim=1) + own) / 2 @ share
        return _on_patches(share, network, images)


def _identity(layers: Sequence[Tensor]) -> Tensor:
    """The shares that the places have of each other before any attention.

    Raises:
        UnsupportedNetwork: not every layer's attention goes from the same places to the same ones.
    """
    sizes = {size for weights in layers for size in weights.shape[2:]}
    if len(sizes) > 1:
        raise UnsupportedNetwork("its attention does not go from the same places to the same ones in every layer")
    return torch.eye(*sizes, device=layers[0].device)


def _on_patches(share: Tensor, network: nn.Module, images: Tensor) -> Tensor:
    """The shares that the places have in the answer, on the pixels of their patches."""
    maps = on_image(share, images)
    covered = [-(-size // count) for size, count in zip(images.shape[2:], maps.shape[2:], strict=True)]
    sides = patch(network, images) or (max(covered), max(covered))
    patches = interpolate(maps, scale_factor=tuple(map(float, sides)), mode="nearest")
    return patches[..., : images.shape[2], : images.shape[3]]  # without the image's padding
