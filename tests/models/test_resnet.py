"""The residual network for small images: the paper's sizes, and its shortcuts."""

import pytest
import torch

from src.models.resnet import Block, ResNet


@pytest.mark.parametrize(("blocks", "millions"), [(3, 0.27), (5, 0.46), (9, 0.85)])
def test_it_has_as_many_weights_as_in_the_paper(blocks, millions):
    network = ResNet(input_shape=[3, 32, 32], widths=[16, 32, 64], blocks=blocks, num_outputs=10)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert sum(parameter.ndim > 1 for parameter in network.parameters()) == 6 * blocks + 2


@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_a_shortcut_subsamples_and_adds_zero_channels(size):
    block = Block(2, 5, stride=2).eval()
    for parameter in block.convolutions.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(3, 2, *size)
    output = block(x)
    assert torch.equal(output[:, :2], x[:, :, ::2, ::2])
    assert (output[:, 2:] == 0).all()
    assert output.shape[1] == 5


def test_each_later_stage_halves_the_image():
    network = ResNet(input_shape=[1, 28, 28], widths=[2, 3, 4], blocks=2, num_outputs=3)
    assert network.features(torch.zeros(2, 1, 28, 28)).shape == (2, 4, 7, 7)


@pytest.mark.parametrize(("widths", "blocks", "message"), [([], 1, "at least one width"), ([4, 2], 1, "do not decrease")])
def test_impossible_sizes_are_refused(widths, blocks, message):
    with pytest.raises(ValueError, match=message):
        ResNet(input_shape=[1, 8, 8], widths=widths, blocks=blocks, num_outputs=3)
