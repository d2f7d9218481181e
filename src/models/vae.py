"""A variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114), fully connected or convolutional."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from src.layers.autoencoding import decoder, encoder
from src.layers.priors import Normal
from src.protocols import Reconstruction


class VAE(nn.Module):
    """Gives each input a normal distribution of latents, and builds it up again from one of them.

    Shapes: (batch, *input_shape) to an unbounded output of the same shape, the latent's mean, (batch, latent_size), and
    the divergence of its distribution from the prior, (batch,).

    Args:
        channels: of convolutions that each halve the picture, before the linear layers; none for a dense network.
        hidden: of the linear layers.
        prior: of the latents, one of src.layers.priors that lacks their size.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        channels: Sequence[int],
        hidden: Sequence[int],
        latent_size: int,
        prior: Callable[..., nn.Module] = Normal,
    ):
        super().__init__()
        self.latent_size = latent_size
        self.prior: Any = prior(latent_size=latent_size)
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, latent_size=2 * latent_size)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Reconstruction:
        """The latent that is decoded lies `noise` standard deviations from the mean, or at the mean without noise."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        latent = mean if noise is None else mean + noise * (log_variance / 2).exp()
        return Reconstruction(
            output=self.decoder(latent), latent=mean, divergence=self.prior.divergence(mean, log_variance, latent)
        )
