"""Recurrent layers: padding changes nothing, and an exported program computes what torch's own layers do."""

import pytest
import torch

from src.layers.recurrent import KINDS, Recurrent

LENGTHS = torch.tensor([5, 1, 3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sequence_has_the_same_states_alone_and_padded(kind, bidirectional):
    torch.manual_seed(0)
    layer, x = Recurrent(kind, 4, 3, layers=2, bidirectional=bidirectional).eval(), torch.randn(3, 5, 4)
    together = layer(x, LENGTHS)
    assert together.shape == (3, 5, layer.width)
    for number, length in enumerate(LENGTHS.tolist()):
        alone = layer.network(x[number : number + 1, :length])[0][0]
        assert torch.allclose(together[number, :length], alone, atol=1e-6)
        assert (together[number, length:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_loop_has_the_same_states(kind):
    torch.manual_seed(0)
    layer, x = Recurrent(kind, 4, 3, layers=2, bidirectional=True).eval(), torch.randn(3, 5, 4)
    assert torch.allclose(layer._scanned(x, LENGTHS), layer(x, LENGTHS), atol=1e-6)
