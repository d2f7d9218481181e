"""Attention inside networks, and attributions by it."""

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from src.evaluation.attention import UnsupportedNetwork, attention, attention_gradients
from src.evaluation.attribution import AttentionRelevance, AttentionRollout
from src.models.vit import ViT
from tests.evaluation.quadrants import Quadrants, squares


class Looking(nn.Module):
    """A class token that attends to the brightest patch of 4x4 pixels. Its weights are set by hand."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.look = nn.MultiheadAttention(2, 1, bias=False, batch_first=True)
        query, key, value = torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([[50.0, 0.0], [0.0, 0.0]]), torch.eye(2)
        with torch.no_grad():
            self.look.in_proj_weight.copy_(torch.cat([query, key, value]))
            self.look.out_proj.weight.copy_(torch.eye(2))

    def forward(self, images):
        bright = self.pool(images).mean(dim=1).flatten(1)
        tokens = torch.stack([bright, torch.ones_like(bright)], dim=2)
        tokens = torch.cat([torch.tensor([0.0, 1.0]).expand(len(images), 1, 2), tokens], dim=1)
        return self.look(tokens, tokens, tokens)[0][:, 0]


@pytest.mark.parametrize("method", [AttentionRollout(), AttentionRelevance()])
def test_what_is_looked_at_reaches_the_answer(method):
    images, answers, near = squares(1)
    maps = method.attribute(Looking().eval(), images, torch.zeros_like(answers))  # of brightness
    assert maps.shape == images.shape
    assert ((maps[:, 0] * near).flatten(1).sum(dim=1) > 0.8 * maps.flatten(1).sum(dim=1)).all()


@pytest.mark.parametrize(("shape", "patch"), [((1, 8, 8), 2), ((3, 8, 8), 4), ((1, 8, 6), 4), ((1, 8, 8), 7), ((1, 10, 10), 4)])
def test_the_shares_of_all_layers_are_multiplied(shape, patch):
    torch.manual_seed(0)
    sizes = {"depth": 3, "width": 8, "heads": 2, "hidden": 16, "num_outputs": 3}
    network = ViT(input_shape=shape, patch=patch, **sizes).eval()
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = network(images)
    maps = AttentionRollout().attribute(network, images, torch.tensor([0, 1]))
    assert maps.shape == (2, 1, *shape[1:])
    first, second, third = ((weights.mean(dim=1) + torch.eye(weights.shape[3])) / 2 for weights in attention(network, images))
    share = third @ second @ first
    torch.testing.assert_close(share.sum(dim=2), torch.ones(2, share.shape[1]))
    columns = -(-max(shape[1:]) // patch)
    for row, column in [(0, 0), (shape[1] - 1, 0), (0, shape[2] - 1), (patch - 1, patch - 1), (patch, patch)]:
        index = 1 + row // patch * columns + column // patch  # behind the token of the class
        torch.testing.assert_close(maps[:, 0, row, column], share[:, 0, index])
    with torch.no_grad():
        assert torch.equal(network(images), before)


@pytest.mark.parametrize("method", [AttentionRollout(), AttentionRelevance()])
def test_a_network_without_attention_has_nothing_to_multiply(method):
    with pytest.raises(UnsupportedNetwork, match="no attention"):
        method.attribute(Quadrants().eval(), *squares(1)[:2])


class Open(nn.Module):
    """Attention between four tokens, written out, with accessible weights. `shut` is torch's, with the same weights."""

    def __init__(self, *, batch_first: bool, bias: bool):
        super().__init__()
        torch.manual_seed(0)
        self.shut = nn.MultiheadAttention(6, 2, batch_first=batch_first, bias=bias)
        self.batch_first = batch_first

    def heads(self, tokens):
        return tokens.unflatten(2, (2, 3)).transpose(1, 2)

    def looked(self, tokens):
        query, key, value = (
            self.heads(part) for part in linear(tokens, self.shut.in_proj_weight, self.shut.in_proj_bias).chunk(3, 2)
        )
        return (query @ key.transpose(2, 3) / 3**0.5).softmax(dim=3), value

    def answered(self, weights, value):
        return self.shut.out_proj((weights @ value).transpose(1, 2).flatten(2)).square().sum(dim=1)

    def forward(self, tokens):
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        output = self.shut(tokens, tokens, tokens)[0]
        return (output if self.batch_first else output.transpose(0, 1)).square().sum(dim=1)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_gradients_by_the_attention_are_those_of_its_formula(batch_first, bias):
    network, tokens, answers = Open(batch_first=batch_first, bias=bias).eval(), torch.randn(3, 4, 6), torch.tensor([0, 5, 2])
    weights, value = network.looked(tokens)
    weights = weights.detach().requires_grad_()
    scores = network.answered(weights, value)
    torch.testing.assert_close(scores, network(tokens))
    (expected,) = torch.autograd.grad(scores.gather(1, answers.unsqueeze(1)).sum(), weights)
    ((recorded, gradients),) = attention_gradients(network, tokens, answers)
    torch.testing.assert_close(recorded, weights.detach())
    torch.testing.assert_close(gradients, expected)
    assert not gradients.requires_grad


def test_attention_to_more_than_the_places_is_not_followed():
    network = Looking().eval()
    network.look = nn.MultiheadAttention(2, 1, add_zero_attn=True, batch_first=True)
    with pytest.raises(UnsupportedNetwork, match="keys besides the places"):
        AttentionRelevance().attribute(network, squares(1)[0], torch.zeros(4, dtype=torch.int64))


def test_the_relevance_asks_which_answer_it_is():
    torch.manual_seed(0)
    sizes = {"depth": 2, "width": 8, "heads": 2, "hidden": 16, "num_outputs": 3}
    network = ViT(input_shape=(1, 8, 6), patch=4, **sizes).eval()
    images = torch.randn(2, 1, 8, 6)
    one, other = (AttentionRelevance().attribute(network, images, torch.tensor(answers)) for answers in ([0, 1], [2, 2]))
    assert one.shape == images.shape
    assert (one >= 0).all()
    assert not torch.allclose(one, other)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_relevance_of_all_layers_is_multiplied():
    torch.manual_seed(0)
    network = ViT(input_shape=(1, 8, 8), patch=4, depth=3, width=8, heads=2, hidden=16, num_outputs=3).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # as of a frozen network
    images, answers = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    first, second, third = (
        torch.eye(5) + (weights * gradients).relu().mean(dim=1)
        for weights, gradients in attention_gradients(network, images, answers)
    )
    with torch.no_grad():
        maps = AttentionRelevance().attribute(network, images, answers)
    torch.testing.assert_close(maps[:, 0, ::4, ::4].flatten(1), (third @ second @ first)[:, 0, 1:])
    assert not torch.allclose(third @ second @ first, first @ second @ third)
    coarse = AttentionRelevance().attribute(network.bfloat16(), images.bfloat16(), answers)
    torch.testing.assert_close(coarse, maps, rtol=0.1, atol=0.02)


class Pooling(nn.Module):
    """Attention between tokens, a single token that attends to them, and attention whose result is not used."""

    def __init__(self, *, fetched: bool):
        super().__init__()
        self.fetched = fetched
        self.between, self.pool, self.idle = (nn.MultiheadAttention(4, 1, batch_first=True) for _ in range(3))

    def forward(self, images):
        tokens = images.flatten(1).unflatten(1, (-1, 4))
        tokens = tokens + self.between(tokens, tokens, tokens)[0]
        self.idle(tokens, tokens, tokens)
        return self.pool(tokens[:, :1], tokens, tokens)[0][:, 0] if self.fetched else tokens.mean(dim=1)


@pytest.mark.parametrize("method", [AttentionRollout(), AttentionRelevance()])
def test_attention_that_pools_is_not_followed_and_what_nobody_takes_adds_nothing(method):
    images, answers = torch.randn(2, 1, 4, 4), torch.tensor([0, 3])
    with pytest.raises(UnsupportedNetwork, match="from the same places to the same ones in every layer"):
        method.attribute(Pooling(fetched=True).eval(), images, answers)
    network = Pooling(fetched=False).eval()
    assert method.attribute(network, images, answers).isfinite().all()
    _, (_, gradients) = attention_gradients(network, images, answers)
    assert not gradients.any()
