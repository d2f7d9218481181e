"""The Vision Transformer at several sizes."""

import pytest
import torch

from src.models.vit import ViT


def small(**settings) -> ViT:
    torch.manual_seed(0)
    sizes = {"patch": 4, "depth": 2, "width": 16, "heads": 2, "hidden": 32, "num_outputs": 3}
    return ViT(**{"input_shape": [1, 8, 8], **sizes, **settings})


@pytest.mark.parametrize(
    ("shape", "patch", "tokens"), [((1, 28, 28), 4, 49), ((1, 28, 28), 7, 16), ((3, 30, 28), 4, 64), ((1, 5, 9), 3, 9)]
)
def test_an_image_has_a_token_for_each_patch_and_one_for_its_class(shape, patch, tokens):
    network = small(input_shape=shape, patch=patch)
    assert network.network.seq_length == tokens + 1
    assert network(torch.randn(2, *shape)).shape == (2, 3)


def test_an_image_is_padded_with_zeros():
    x = torch.randn(2, 1, 8, 6, generator=torch.Generator().manual_seed(0))
    filled = torch.cat([x, torch.zeros(2, 1, 8, 2)], dim=3)
    narrow, square = small(input_shape=[1, 8, 6]).eval(), small().eval()
    with torch.no_grad():
        assert torch.equal(narrow(x), square(filled))


@pytest.mark.parametrize("settings", [{"heads": 3}, {"patch": 0}, {"depth": 0}])
def test_impossible_sizes_are_refused(settings):
    with pytest.raises(ValueError, match="multiple of heads"):
        small(**settings)
