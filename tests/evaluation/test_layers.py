"""Views of the inside of networks."""

import pytest
import torch
from torch import nn

from src.evaluation.layers import Activations, Attention, Filters, UnsupportedNetwork
from src.models.cnn import CNN
from src.models.fnn import FNN

COLOURED = torch.rand(1, 3, 12, 8, generator=torch.Generator().manual_seed(0))


class Patches(nn.Module):
    """Attention over patches of 4x4 pixels, behind a class token or without one."""

    def __init__(self, *, token: bool, layers: int = 2):
        super().__init__()
        self.cut = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.ones(1, 1, 16)) if token else None
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, images):
        tokens = self.cut(images).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token, tokens], dim=1)
        return self.head(self.encoder(tokens)[:, 0])


@pytest.mark.parametrize("token", [True, False])
def test_attention_lies_on_the_patches(token):
    network = Patches(token=token).eval()
    with torch.no_grad():
        before = network(COLOURED)
    rows = Attention().view(network, COLOURED)
    assert [label for label, _ in rows] == ["layer 1 of 2", "layer 2 of 2"]
    for _, maps in rows:
        assert maps.shape == (2, 1, 3, 2)  # two heads, and the image has 3x2 patches
        assert (maps >= 0).all()
        total = maps.flatten(1).sum(dim=1)
        assert (total < 1).all() if token else torch.allclose(total, torch.ones(2))
    with torch.no_grad():
        assert torch.equal(network(COLOURED), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_the_last_layer_is_among_those_that_are_shown():
    rows = Attention(layers=2).view(Patches(token=True, layers=3).eval(), COLOURED)
    assert [label for label, _ in rows] == ["layer 1 of 3", "layer 3 of 3"]


def test_a_network_without_attention_has_none_to_show():
    with pytest.raises(UnsupportedNetwork, match="no attention"):
        Attention().view(CNN(input_shape=(3, 12, 8), width=2, num_outputs=5).eval(), COLOURED)


def test_filters_are_the_weights_of_what_sees_the_image():
    network = CNN(input_shape=(3, 12, 8), width=10, num_outputs=5).eval()
    rows = Filters(count=9).view(network, COLOURED)
    assert [maps.shape for _, maps in rows] == [(8, 3, 3, 3), (1, 3, 3, 3)]
    assert torch.equal(torch.cat([maps for _, maps in rows]), network.features[0].weight[:9])
    dense = FNN(input_shape=(3, 12, 8), hidden=[6], num_outputs=5).eval()
    ((_, maps),) = Filters().view(dense, COLOURED)
    assert torch.equal(maps, dense.layers[1].weight.view(6, 3, 12, 8))
    ((_, maps),) = Filters().view(nn.Sequential(nn.Conv2d(2, 4, 3)).eval(), torch.zeros(1, 2, 5, 5))
    assert maps.shape == (4, 1, 3, 3), "two channels have no colours"


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.LazyLinear(2)),
        nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(2)),
        nn.Flatten(),
    ],
    ids=["single pixels", "after a pooling", "nothing learned"],
)
def test_a_first_layer_without_pictures_is_left_out(network):
    network(COLOURED)
    with pytest.raises(UnsupportedNetwork):
        Filters().view(network, COLOURED)


def test_activations_are_what_the_convolutions_give():
    network = CNN(input_shape=(3, 12, 8), width=10, num_outputs=5).eval()
    (first, shallow), (last, deep) = Activations().view(network, COLOURED)
    assert (first, last) == ("convolution\n1 of 2", "convolution\n2 of 2")
    assert (shallow.shape, deep.shape) == ((8, 1, 12, 8), (8, 1, 6, 4))
    with torch.no_grad():
        whole = network.features[0](COLOURED)[0]
    spread = whole.flatten(1).std(dim=1)
    kept = [i for i in range(10) if (whole[i] == shallow[:, 0]).all(dim=(1, 2)).any()]
    assert kept == sorted(spread.argsort(descending=True)[:8].tolist())
    with pytest.raises(UnsupportedNetwork, match="no convolution"):
        Activations().view(FNN(input_shape=(3, 12, 8), hidden=[6], num_outputs=5).eval(), COLOURED)
