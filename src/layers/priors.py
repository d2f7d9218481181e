"""Prior distributions of the latents of a variational autoencoder."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from src.value_types import Count

MARGIN = 1e-6  # between a probability and 0 or 1, where the normal quantile is infinite


class Prior(nn.Module, ABC):
    """A distribution over latents."""

    @abstractmethod
    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor) -> Tensor:
        """The Kullback-Leibler divergence of normal distributions without covariances from the prior, in nats.

        Shapes: (batch, latent_size) each, to (batch,).

        Args:
            latent: one sample of each distribution, for priors that can only estimate the divergence.
        """

    @abstractmethod
    def transform_noise(self, noise: Tensor) -> Tensor:
        """Samples of the prior, from standard normal noise.

        Shapes: (batch, latent_size) to the same.
        """


class Normal(Prior):
    """The standard normal distribution (Kingma and Welling 2014, arXiv:1312.6114). The divergence is exact."""

    def __init__(self, *, latent_size: int):
        super().__init__()

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor) -> Tensor:
        return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2

    def transform_noise(self, noise: Tensor) -> Tensor:
        return noise


class Mixture(Prior):
    """A mixture of equally weighted normal distributions, whose means and variances are learned with the network.

    The mixture fits the latents of real examples, so that its samples resemble them (Tomczak and Welling 2018,
    arXiv:1705.07120, compare such a mixture with their own prior). The divergence is estimated from the one sampled latent.

    Args:
        latent_size: dimensions of a latent.
        components: distributions in the mixture.
    """

    def __init__(self, *, latent_size: int, components: Count):
        super().__init__()
        if components < 1:
            raise ValueError(f"model.prior.components: expected 1 or more; received {components}.")
        self.means = nn.Parameter(torch.randn(components, latent_size))
        self.log_variances = nn.Parameter(torch.zeros(components, latent_size))

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor) -> Tensor:
        posterior = _log_density(latent, mean, log_variance)
        components = _log_density(latent.unsqueeze(1), self.means, self.log_variances)
        return posterior - (components.logsumexp(dim=1) - math.log(len(self.means)))

    def transform_noise(self, noise: Tensor) -> Tensor:
        """The quantile of the first number of each row chooses the component. The rest of that quantile replaces the number."""
        quantile = torch.special.ndtr(noise[:, 0].double()) * len(self.means)
        component = quantile.floor().clamp(0, len(self.means) - 1)
        first = torch.special.ndtri((quantile - component).clamp(MARGIN, 1 - MARGIN)).to(noise.dtype)
        standard = torch.cat([first.unsqueeze(1), noise[:, 1:]], dim=1)
        index = component.long()
        return self.means[index] + standard * (self.log_variances[index] / 2).exp()


def _log_density(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of normal distributions without covariances, over the last dimension."""
    squares = (latent - mean).square() * (-log_variance).exp()
    return -(squares + log_variance + math.log(2 * math.pi)).sum(dim=-1) / 2
