"""Divergences from priors, and samples of priors."""

import pytest
import torch
from scipy.stats import kstest
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, kl_divergence
from torch.distributions import Normal as Distribution

from src.layers.priors import Mixture, Normal


@pytest.fixture
def mixture() -> Mixture:
    torch.manual_seed(0)
    prior = Mixture(latent_size=2, components=3)
    with torch.no_grad():
        prior.means.copy_(torch.tensor([[-4.0, 0.0], [0.0, 3.0], [5.0, 5.0]]))
        prior.log_variances.copy_(torch.tensor([[0.0, 0.0], [-2.0, 0.0], [0.5, -1.0]]))
    return prior


def distribution(prior: Mixture) -> MixtureSameFamily:
    components = Independent(Distribution(prior.means, (prior.log_variances / 2).exp()), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(prior.means))), components)


@torch.no_grad()
def test_the_divergence_from_the_standard_normal_is_the_exact_one():
    mean, log_variance = torch.randn(7, 4), torch.randn(7, 4)
    posterior = Distribution(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Distribution(0.0, 1.0)).sum(dim=1)
    assert torch.allclose(Normal(latent_size=4).divergence(mean, log_variance, posterior.sample()), expected, rtol=1e-5)


@torch.no_grad()
def test_the_divergence_from_a_mixture_is_estimated_from_the_sampled_latent(mixture):
    mean, log_variance = torch.randn(7, 2), torch.randn(7, 2)
    posterior = Independent(Distribution(mean, (log_variance / 2).exp()), 1)
    latent = posterior.sample()
    expected = posterior.log_prob(latent) - distribution(mixture).log_prob(latent)
    assert torch.allclose(mixture.divergence(mean, log_variance, latent), expected, atol=1e-4)


@torch.no_grad()
def test_one_component_at_the_origin_is_the_standard_normal_on_average():
    torch.manual_seed(0)
    one = Mixture(latent_size=3, components=1)
    nn.init.zeros_(one.means)
    mean, log_variance = torch.full((200_000, 3), 0.5), torch.full((200_000, 3), -1.0)
    latent = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    expected = Normal(latent_size=3).divergence(mean[:1], log_variance[:1], latent[:1])
    assert float(one.divergence(mean, log_variance, latent).mean()) == pytest.approx(float(expected), abs=0.01)


@torch.no_grad()
def test_samples_have_the_distribution_of_the_prior(mixture):
    noise = torch.randn(30_000, 2, generator=torch.Generator().manual_seed(1))
    latents = mixture.transform_noise(noise)
    assert torch.equal(latents, mixture.transform_noise(noise))
    assert latents.dtype == torch.float32
    nearest = torch.cdist(latents, mixture.means).argmin(dim=1)
    assert torch.allclose(nearest.bincount() / len(latents), torch.full((3,), 1 / 3), atol=0.02)
    for axis in (0, 1):
        components = Distribution(mixture.means[:, axis], (mixture.log_variances[:, axis] / 2).exp())
        marginal = MixtureSameFamily(Categorical(torch.ones(3)), components)
        assert kstest(latents[:, axis].numpy(), lambda x, of=marginal: of.cdf(torch.from_numpy(x)).numpy()).pvalue > 0.01
    assert torch.equal(Normal(latent_size=2).transform_noise(noise), noise)


@torch.no_grad()
def test_extreme_noise_gives_finite_samples(mixture):
    noise = torch.tensor([[-40.0, 0.0], [40.0, 0.0], [0.0, 40.0]])
    assert mixture.transform_noise(noise).isfinite().all()


def test_a_mixture_without_components_is_refused():
    with pytest.raises(ValueError, match=r"model\.prior\.components: expected 1 or more; received 0"):
        Mixture(latent_size=2, components=0)
