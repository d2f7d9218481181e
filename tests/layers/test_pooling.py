"""Average pooling by deterministic operations, beside torch's own."""

import pytest
import torch
from torch import nn

from src.layers.pooling import AveragePooling

DIVIDED = [((6, 6), (6, 6)), ((12, 18), (6, 6)), ((7, 5), (1, 1)), ((14, 14), (7, 7)), ((8, 4), (4, 2))]
UNEVEN = [((13, 9), (6, 6)), ((1, 1), (7, 7)), ((14, 14), (4, 4)), ((2, 3), (7, 7)), ((5, 12), (1, 5)), ((7, 14), (6, 7))]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("sides", "size"), [*DIVIDED, *UNEVEN])
def test_values_and_gradients_are_those_of_torch(sides, size, layout):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, *sides, generator=generator).to(memory_format=layout)
    downwards = torch.randn(3, 4, *size, generator=generator)
    results = []
    for pooling in (nn.AdaptiveAvgPool2d(size), AveragePooling(size)):
        leaf = x.clone().requires_grad_()
        output = pooling(leaf)
        output.backward(downwards)
        results.append((output.detach(), leaf.grad))
    (values, gradients), (own_values, own_gradients) = results
    assert own_values.shape == (3, 4, *size)
    torch.testing.assert_close(own_values, values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own_gradients, gradients, rtol=1e-5, atol=1e-6)


def test_it_keeps_the_kind_of_its_numbers():
    for dtype in (torch.float64, torch.bfloat16):
        assert AveragePooling((4, 4))(torch.ones(1, 1, 6, 6, dtype=dtype)).dtype is dtype
