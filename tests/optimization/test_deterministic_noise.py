"""Noise that depends only on an example."""

import pytest
import torch

from src.optimization import deterministic_noise


def pictures(count: int = 200) -> torch.Tensor:
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_it_is_standard_normal():
    noise = deterministic_noise.normal(pictures(2000), 50)
    assert noise.shape == (2000, 50)
    assert float(noise.mean()) == pytest.approx(0, abs=0.015)
    assert float(noise.std()) == pytest.approx(1, abs=0.015)
    shares = [float((noise < bound).float().mean()) for bound in (-1.96, -1.0, 0.0, 1.0, 1.96)]
    assert shares == pytest.approx([0.025, 0.1587, 0.5, 0.8413, 0.975], abs=0.006)


def test_its_numbers_do_not_correlate():
    noise = deterministic_noise.normal(pictures(2000), 30)
    for correlations in (torch.corrcoef(noise.T), torch.corrcoef(noise[:60])):
        beside = correlations - torch.eye(len(correlations))
        assert float(beside.square().mean().sqrt()) < 0.25
    within = torch.corrcoef(noise.T) - torch.eye(30)
    assert float(within.abs().max()) < 0.12


def test_it_depends_on_the_example_alone():
    x = pictures()
    noise = deterministic_noise.normal(x, 5)
    assert torch.equal(deterministic_noise.normal(x.flip(0), 5).flip(0), noise)
    assert torch.equal(torch.cat([deterministic_noise.normal(part, 5) for part in x.split(7)]), noise)
    assert torch.equal(deterministic_noise.normal(x, 9)[:, :5], noise)
    assert (deterministic_noise.normal(x + 1e-7, 5) == noise).all(
        dim=1
    ).float().mean() > 0.95  # as another device might have it


def test_one_pixel_or_its_position_changes_it():
    x = pictures(2)
    other = x.clone()
    other[0, 0, 1, 2] += 0.01
    swapped = x.flip(3)
    noise = deterministic_noise.normal(x, 40)
    for changed in (other, swapped):
        assert float(torch.corrcoef(torch.stack([noise[0], deterministic_noise.normal(changed, 40)[0]]))[0, 1]) < 0.6
