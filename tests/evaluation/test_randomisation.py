"""Random weights instead of the learned ones, and how similar two maps are."""

import numpy as np
import pytest
import torch
from torch import nn

from src.evaluation.randomisation import randomised, rank_correlation


def network() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 8), nn.MultiheadAttention(8, 2), Token()
    )
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(3)  # what was learned
    return model


class Token(nn.Module):
    """A parameter of its own, which no method draws afresh."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 50))


def test_every_weight_is_drawn_afresh_and_the_same_way_by_one_seed():
    torch.manual_seed(3)
    trained = network()
    before, generator = {name: tensor.clone() for name, tensor in trained.state_dict().items()}, torch.get_rng_state()
    one, again, other = (randomised(trained, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), generator)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert torch.equal(one[name], again[name])
        assert not torch.equal(one[name], tensor) or name.endswith("num_batches_tracked")
        drawn = name.endswith("weight") and tensor.ndim > 1
        assert not drawn or not torch.equal(one[name], other[name])
    assert torch.equal(one["1.running_mean"], torch.zeros(4))
    assert one["5.token"].mean() == pytest.approx(3, abs=0.6)
    assert one["5.token"].std() == pytest.approx(1, abs=0.4)
    assert not torch.equal(one["5.token"], other["5.token"])


def test_the_correlation_is_that_of_the_ranks_of_the_sizes():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(5, 6, 4)), rng.normal(size=(5, 6, 4)).round(1)  # with ties
    expected = np.mean([spearmanr(np.abs(a).ravel(), np.abs(b).ravel()).statistic for a, b in zip(one, other, strict=True)])
    assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12)
    assert rank_correlation(one, -3 * one) == pytest.approx(1)
    assert rank_correlation(np.exp(one), one) < 0.5, "sizes, not values"


def test_a_map_without_differences_is_left_out():
    maps = np.arange(12.0).reshape(2, 2, 3)
    assert rank_correlation(maps, np.stack([maps[0], np.zeros((2, 3))])) == pytest.approx(1)
    assert np.isnan(rank_correlation(maps, np.ones_like(maps)))
