"""A variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114), fully connected or convolutional."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from src.layers.encoder_decoder import decoder, encoder
from src.layers.priors import Normal, Prior
from src.protocols import Reconstruction
from src.value_types import Count


class VAE(nn.Module):
    """Encodes each input to a normal distribution of latents, and decodes one latent of it.

    Shapes: (batch, *input_shape) to unbounded outputs of the same shape, the means of the latents (batch, latent_size), and
    the divergences of their distributions from the prior (batch,).

    Args:
        channels: of the convolutions before the linear layers, each of which halves the picture; empty for a dense network.
        hidden: units of the hidden linear layers.
        prior: makes the prior for a latent_size.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[Count],
        channels: Sequence[Count],
        hidden: Sequence[Count],
        latent_size: Count,
        prior: Callable[..., Prior] = Normal,
    ):
        super().__init__()
        self.latent_size = latent_size
        self.prior = prior(latent_size=latent_size)
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, latent_size=2 * latent_size)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Reconstruction:
        """The decoded latent is `noise` standard deviations away from the mean; without noise it is the mean."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        latent = mean if noise is None else mean + noise * (log_variance / 2).exp()
        return Reconstruction(
            output=self.decoder(latent), latent=mean, divergence=self.prior.divergence(mean, log_variance, latent)
        )
