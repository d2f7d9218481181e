"""What the latents of a variational autoencoder are like before any example is seen.

`divergence` gives each example's divergence of its normal distribution from the prior in nats, (batch,). It is exact, or
estimated by one sampled latent. `latents` turns standard normal noise, (batch, latent_size), into samples of the prior.
"""

import math

import torch
from torch import Tensor, nn

EDGE = 1e-6  # of a probability from 0 and from 1, where the normal quantile is infinite


class Normal(nn.Module):
    """The standard normal distribution (Kingma and Welling 2014, arXiv:1312.6114); the divergence is exact."""

    def __init__(self, *, latent_size: int):
        super().__init__()

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor) -> Tensor:
        return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2

    def latents(self, noise: Tensor) -> Tensor:
        return noise


class Mixture(nn.Module):
    """Normal distributions of equal weight, the places and widths of which are learned with the network.

    It fits the latents that examples really have, so that latents drawn from it are like theirs (Tomczak and Welling 2018,
    arXiv:1705.07120, who compare such a mixture with their own). The divergence is estimated by the one latent that is drawn.

    Args:
        latent_size: numbers in a latent.
        components: distributions in the mixture.
    """

    def __init__(self, *, latent_size: int, components: int):
        super().__init__()
        if components < 1:
            raise ValueError(f"model.prior.components: expected 1 or more; received {components}.")
        self.means = nn.Parameter(torch.randn(components, latent_size))
        self.log_variances = nn.Parameter(torch.zeros(components, latent_size))

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor) -> Tensor:
        own = _log_density(latent, mean, log_variance)
        each = _log_density(latent.unsqueeze(1), self.means, self.log_variances)
        return own - (each.logsumexp(dim=1) - math.log(len(self.means)))

    def latents(self, noise: Tensor) -> Tensor:
        """The first number of each line chooses the component by its quantile; what is left of this is a number again."""
        quantile = torch.special.ndtr(noise[:, 0].double()) * len(self.means)
        chosen = quantile.floor().clamp(0, len(self.means) - 1)
        left = torch.special.ndtri((quantile - chosen).clamp(EDGE, 1 - EDGE)).to(noise.dtype)
        numbers = torch.cat([left.unsqueeze(1), noise[:, 1:]], dim=1)
        place = chosen.long()
        return self.means[place] + numbers * (self.log_variances[place] / 2).exp()


def _log_density(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of normal distributions without covariances, over the last dimension."""
    squares = (latent - mean).square() * (-log_variance).exp()
    return -(squares + log_variance + math.log(2 * math.pi)).sum(dim=-1) / 2
