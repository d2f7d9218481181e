"""A variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114), fully connected or convolutional."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from src.layers.coding import decoder, encoder
from src.layers.priors import Normal
from src.protocols import Reconstruction


class VAE(nn.Module):
    """Gives each input a normal distribution of codes, and builds it up again from one of them.

    Shapes: (batch, *input_shape) to an output of the same shape, which nothing bounds, the mean of the code, (batch, code), and
    its distribution's divergence from the prior, (batch,).

    Args:
        channels: of convolutions that each halve the picture, before the linear layers; none for a dense network.
        hidden: of the linear layers.
        prior: of the codes, one of src.layers.priors that lacks their size.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        channels: Sequence[int],
        hidden: Sequence[int],
        code: int,
        prior: Callable[..., nn.Module] = Normal,
    ):
        super().__init__()
        self.code = code
        self.prior: Any = prior(code=code)
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, code=2 * code)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, code=code)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Reconstruction:
        """The code that is decoded lies `noise` standard deviations from the mean, or at the mean without noise."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        code = mean if noise is None else mean + noise * (log_variance / 2).exp()
        return Reconstruction(output=self.decoder(code), code=mean, divergence=self.prior.divergence(mean, log_variance, code))
