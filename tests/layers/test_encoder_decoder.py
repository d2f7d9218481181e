"""Encoders and decoders for any shape."""

import pytest
import torch
from torch import nn

from src.layers.encoder_decoder import decoder, encoder


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 33, 9), (1, 7, 13), (4, 4, 5)])
@pytest.mark.parametrize("channels", [[], [5], [5, 6]])
def test_the_decoder_restores_the_shape(shape, channels):
    sizes = {"channels": channels, "hidden": [11, 9], "latent_size": 3}
    latent = encoder(shape, **sizes)(torch.rand(2, *shape))
    assert latent.shape == (2, 3)
    assert decoder(shape, **sizes)(latent).shape == (2, *shape)


def test_the_decoder_mirrors_the_encoder():
    sizes = {"channels": [5, 6], "hidden": [11, 9], "latent_size": 3}
    down, up = (half((2, 9, 10), **sizes) for half in (encoder, decoder))

    def outline(half: nn.Sequential) -> list[tuple[int, ...]]:
        """Inputs and outputs of each layer that has weights."""
        sizes = []
        for layer in half:
            if isinstance(layer, nn.Linear):
                sizes.append((layer.in_features, layer.out_features))
            elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                sizes.append((layer.in_channels, layer.out_channels))
        return sizes

    assert outline(down) == [(2, 5), (5, 6), (6 * 2 * 2, 11), (11, 9), (9, 3)]
    assert outline(up) == [(outputs, inputs) for inputs, outputs in reversed(outline(down))]
    assert sum(isinstance(layer, nn.ReLU) for layer in down) == sum(isinstance(layer, nn.ReLU) for layer in up) == 4
    assert not isinstance(up[-1], nn.ReLU)


def test_a_too_small_picture_is_refused():
    with pytest.raises(ValueError, match=r"at least 8x8 pixels for 3 halvings; received 28x7\. Leave out"):
        encoder((1, 28, 7), channels=[1, 1, 1], hidden=[], latent_size=2)
